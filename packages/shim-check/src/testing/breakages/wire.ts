import { setTimeout as delay } from "node:timers/promises";
import { ttrpc } from "@trimaran/proto";
import { Code, FrameType, MAX_PAYLOAD_BYTES } from "ttrpc-ts";
import { type Breakage, calls, isCut } from "./breakage.ts";

export const WIRE: Readonly<Record<string, Breakage>> = {
  "wire: code 0 on success": {
    caughtBy: ["wire.success"],
    hooks: {
      responseBytes: (payload) => {
        const response = ttrpc.Response.decode(payload);
        return response.status === undefined ? Buffer.concat([Buffer.from([0x0a, 0x00]), payload]) : payload;
      },
    },
  },
  "wire: a long frame ends the connection": {
    caughtBy: ["wire.largest-frame"],
    hooks: {
      frame: (frame, wire) => {
        if (frame.oversizedBytes !== undefined || frame.payload.length >= MAX_PAYLOAD_BYTES) wire.close();
        return [frame];
      },
    },
  },
  "wire: even ids are served": {
    caughtBy: ["wire.stream-ids"],
    hooks: {
      frame: (frame, wire) => {
        if (frame.streamId % 2 !== 0) return [frame];
        wire.respond(frame.streamId, new Uint8Array());
        return [];
      },
    },
  },
  "wire: used ids are served": {
    caughtBy: ["wire.reused-id"],
    hooks: {
      frame: (frame, wire) => {
        if (!wire.seen.has(frame.streamId)) {
          wire.seen.add(frame.streamId);
          return [frame];
        }
        wire.respond(frame.streamId, new Uint8Array());
        return [];
      },
    },
  },
  "wire: a frame must come at once": {
    caughtBy: ["wire.cut-frames"],
    hooks: {
      chunk: (bytes, wire) => {
        if (isCut(bytes)) wire.close();
      },
    },
  },
  "wire: Data ends the process": {
    caughtBy: ["wire.stray-data", "faults.data-flood"],
    hooks: {
      frame: (frame) => {
        if (frame.type === FrameType.Data) process.exit(1);
        return [frame];
      },
    },
  },
  "wire: unknown names are Unknown": {
    caughtBy: ["wire.unknown-names"],
    hooks: {
      responseBytes: (payload) => {
        const { status } = ttrpc.Response.decode(payload);
        if (status?.code !== Code.Unimplemented) return payload;
        return ttrpc.Response.encode({ status: { ...status, code: Code.Unknown } });
      },
    },
  },
  "wire: many Waits are slow": {
    caughtBy: ["wire.many-waits"],
    hooks: calls("State", async ({ openOf }) => {
      if (openOf("Wait") > 100) await delay(4000);
      return undefined;
    }),
  },
  "wire: a deadline ends the connection": {
    caughtBy: ["wire.deadline"],
    hooks: {
      frame: (frame, wire) => {
        const { timeoutNano } = ttrpc.Request.decode(frame.payload);
        if (timeoutNano > 0n && timeoutNano < 100_000_000n) wire.close();
        return [frame];
      },
    },
  },
  // the proxy serves whom it is connected to: Node knows no peer's credentials
  "wire: any peer": { caughtBy: ["wire.other-group"], hooks: {} },
};
