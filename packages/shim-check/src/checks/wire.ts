import { spawn } from "node:child_process";
import { once } from "node:events";
import { containerd, ttrpc } from "@trimaran/proto";
import { Code, encodeFrame, type Frame, FrameType, HEADER_BYTES, MAX_PAYLOAD_BYTES } from "ttrpc-ts";
import type { Container } from "../lab/container.ts";
import { codeName, expectEqual, expectThat, Finding } from "../lab/finding.ts";
import type { Lab } from "../lab/lab.ts";
import { within } from "../lab/patience.ts";
import { type Arrival, type RawConnection, requestBytes } from "../shim/raw-connection.ts";
import type { Check } from "./check.ts";

/** A raw connection to a container, and requests on it. */
export interface Wire {
  readonly container: Container;
  readonly raw: RawConnection;
  /** The bytes of a State. */
  state(streamId: number, more?: { readonly timeoutNano?: bigint }): Uint8Array;
  /** The bytes of a Wait. */
  wait(streamId: number, more?: { readonly timeoutNano?: bigint }): Uint8Array;
}

export async function openWire(lab: Lab, container?: Container): Promise<Wire> {
  const target = container ?? (await lab.running());
  const raw = await lab.raw(target);
  const { name: service } = target.service;
  const { StateRequest, WaitRequest } = containerd.task.v2;
  const call =
    (method: string, payload: Uint8Array) =>
    (streamId: number, more: { readonly timeoutNano?: bigint } = {}) =>
      requestBytes(streamId, { service, method, payload, ...more });
  const state = call("State", StateRequest.encode({ id: target.id }));
  const wait = call("Wait", WaitRequest.encode({ id: target.id }));
  return { container: target, raw, state, wait };
}

/** A Response in words: OK, or its code and message. */
export function describeArrival(arrival: Arrival): string {
  if (typeof arrival === "string") return arrival === "closed" ? "the connection was closed" : "no answer";
  const { status } = ttrpc.Response.decode(arrival.payload);
  const text = status === undefined ? "OK" : `${codeName(status.code)}: ${status.message}`;
  return arrival.type === FrameType.Response ? text : `a frame of type ${arrival.type}`;
}

function codeOf(arrival: Arrival): number | undefined {
  if (typeof arrival === "string" || arrival.type !== FrameType.Response) return undefined;
  return ttrpc.Response.decode(arrival.payload).status?.code ?? 0;
}

/** The next frame must be a Response on that stream, with one of the codes; 0 is success. */
export async function expectResponse(
  lab: Lab,
  raw: RawConnection,
  what: string,
  streamId: number,
  ...codes: readonly number[]
): Promise<Frame> {
  const arrival = await raw.next(lab.limitMs);
  const code = codeOf(arrival);
  const names = codes.map((each) => (each === 0 ? "OK" : codeName(each)));
  const expected = `${what}: ${names.join(" or ")} on stream ${streamId}`;
  if (typeof arrival === "string" || code === undefined || !codes.includes(code))
    throw new Finding(expected, describeArrival(arrival));
  if (arrival.streamId !== streamId) throw new Finding(expected, `an answer on stream ${arrival.streamId}`);
  return arrival;
}

/** The connection must still serve. */
export async function expectAlive(lab: Lab, wire: Wire, streamId: number): Promise<void> {
  wire.raw.send(wire.state(streamId));
  await expectResponse(lab, wire.raw, "afterwards, State on the same connection", streamId, 0);
}

/** A payload of a Request that is exactly so long: a field that no message has. */
function paddedTo(bytes: number, request: Uint8Array): Uint8Array {
  const head = request.length;
  const tag = Buffer.from([0xfa, 0x3f]); // field 1023, length-delimited
  const length = bytes - head - tag.length - 4;
  const size = Buffer.from([
    (length & 0x7f) | 0x80,
    ((length >> 7) & 0x7f) | 0x80,
    ((length >> 14) & 0x7f) | 0x80,
    length >> 21,
  ]);
  return Buffer.concat([request, tag, size, Buffer.alloc(length)]);
}

/** A peer with another group, as a program: connects, sends the bytes on its stdin, prints how many came back. */
const STRANGER = `const s = require("net").connect(process.argv[1]); let n = 0;
s.on("data", (d) => { n += d.length; }).on("error", () => {}).on("close", () => process.stdout.write(String(n)));
process.stdin.on("data", (d) => s.write(d)); setTimeout(() => s.destroy(), 1500);`;

export const WIRE: readonly Check[] = [
  {
    id: "wire.success",
    title: "success leaves status out: the answer of a call that returns Empty has no error, not code 0",
    sections: "1.1",
    numbers: [20],
    run: async (lab) => {
      const { container, raw } = await openWire(lab);
      const payload = containerd.task.v2.CloseIORequest.encode({ id: container.id, stdin: true });
      raw.send(requestBytes(1, { service: container.service.name, method: "CloseIO", payload }));
      const frame = await expectResponse(lab, raw, "CloseIO", 1, 0);
      expectThat("no status", ttrpc.Response.decode(frame.payload).status === undefined, "a status");
    },
  },
  {
    id: "wire.largest-frame",
    title: "a payload of 4194304 bytes is served; with one byte more the stream gets code 8, and the connection lives",
    sections: "1.1",
    numbers: [21],
    run: async (lab) => {
      const wire = await openWire(lab);
      const request = wire.state(1).subarray(HEADER_BYTES);
      const payload = paddedTo(MAX_PAYLOAD_BYTES, request);
      wire.raw.send(encodeFrame({ streamId: 1, type: FrameType.Request, flags: 0, payload }));
      await expectResponse(lab, wire.raw, "4194304 bytes", 1, 0);
      const header = Buffer.alloc(HEADER_BYTES);
      header.writeUInt32BE(MAX_PAYLOAD_BYTES + 1, 0);
      header.writeUInt32BE(3, 4);
      header[8] = FrameType.Request;
      wire.raw.send(Buffer.concat([header, payload, Buffer.alloc(1)]));
      await expectResponse(lab, wire.raw, "4194305 bytes", 3, Code.ResourceExhausted);
      await expectAlive(lab, wire, 5);
    },
  },
  {
    id: "wire.stream-ids",
    title: "an even id gets code 3, and the connection lives; gaps are fine",
    sections: "1.2, 1.6",
    numbers: [22],
    run: async (lab) => {
      const wire = await openWire(lab);
      wire.raw.send(wire.state(2));
      await expectResponse(lab, wire.raw, "an even id", 2, Code.InvalidArgument);
      wire.raw.send(wire.state(101));
      await expectResponse(lab, wire.raw, "an id after a gap", 101, 0);
      await expectAlive(lab, wire, 103);
    },
  },
  {
    id: "wire.reused-id",
    title: "an id that was used gets code 3, and the connection lives",
    sections: "1.6",
    numbers: [22],
    run: async (lab) => {
      const wire = await openWire(lab);
      await expectAlive(lab, wire, 5);
      wire.raw.send(wire.state(5));
      await expectResponse(lab, wire.raw, "a used id", 5, Code.InvalidArgument);
      await expectAlive(lab, wire, 7);
    },
  },
  {
    id: "wire.cut-frames",
    title: "a frame that comes byte by byte is served, and two that come at once",
    sections: "1.1",
    numbers: [23],
    run: async (lab) => {
      const wire = await openWire(lab);
      for (const byte of wire.state(1)) {
        wire.raw.send(Buffer.from([byte]));
        await new Promise((resolve) => setImmediate(resolve));
      }
      await expectResponse(lab, wire.raw, "byte by byte", 1, 0);
      wire.raw.send(Buffer.concat([wire.state(3), wire.state(5)]));
      const arrivals = [await wire.raw.next(lab.limitMs), await wire.raw.next(lab.limitMs)];
      expectEqual("two at once: codes", arrivals.map(codeOf), [0, 0]);
    },
  },
  {
    id: "wire.stray-data",
    title: "Data for a stream that is not there, or is none, does not end the shim",
    sections: "1.6",
    numbers: [24],
    run: async (lab) => {
      const wire = await openWire(lab);
      const data = (streamId: number) =>
        encodeFrame({ streamId, type: FrameType.Data, flags: 0, payload: Buffer.from("data") });
      wire.raw.send(data(77));
      wire.raw.send(wire.wait(81));
      wire.raw.send(data(81));
      await wire.container.moment();
      const task = await lab.reconnect(wire.container).catch((error: unknown) => {
        throw new Finding("the shim to live", "nobody listens any more", { cause: error });
      });
      const answer = await task.state({ id: wire.container.id }).catch((error: Error) => error.message);
      expectThat("an answer to State on another connection", typeof answer !== "string", answer);
    },
  },
  {
    id: "wire.unknown-names",
    title: "unknown services and methods get code 12; a payload that is no message 13 or 3; a request that is none 3",
    sections: "1.6",
    numbers: [25],
    run: async (lab) => {
      const wire = await openWire(lab);
      const { name: service } = wire.container.service;
      const garbage = Buffer.from([0xff, 0xff, 0xff]);
      wire.raw.send(requestBytes(1, { service: "a.b.Nothing", method: "State" }));
      await expectResponse(lab, wire.raw, "an unknown service", 1, Code.Unimplemented);
      wire.raw.send(requestBytes(3, { service, method: "Nothing" }));
      await expectResponse(lab, wire.raw, "an unknown method", 3, Code.Unimplemented);
      wire.raw.send(requestBytes(5, { service, method: "State", payload: garbage }));
      await expectResponse(lab, wire.raw, "a bad payload", 5, Code.Internal, Code.InvalidArgument);
      wire.raw.send(encodeFrame({ streamId: 7, type: FrameType.Request, flags: 0, payload: garbage }));
      await expectResponse(lab, wire.raw, "a bad request", 7, Code.InvalidArgument);
      await expectAlive(lab, wire, 9);
    },
  },
  {
    id: "wire.many-waits",
    title: "1000 open Waits do not delay a State, and all of them get the exit",
    sections: "1.3, 3.3",
    numbers: [26],
    run: async (lab) => {
      const container = await lab.running();
      const waits = Array.from({ length: 1000 }, () => container.shim.task.wait({ id: container.id }));
      const all = Promise.all(waits);
      all.catch(() => undefined);
      await within("an answer to State", container.state(), 2000);
      await container.task.kill({ id: container.id, signal: 9 });
      const statuses = new Set(
        (await within("1000 answers to Wait", all, lab.limitMs)).map(({ exitStatus }) => exitStatus),
      );
      expectEqual("their statuses", [...statuses], [137]);
    },
  },
  {
    id: "wire.deadline",
    title: "when a request's time is over its stream gets code 4 or nothing, and the connection serves on",
    sections: "1.5",
    numbers: [27],
    run: async (lab) => {
      const wire = await openWire(lab);
      wire.raw.send(wire.wait(1, { timeoutNano: 50_000_000n }));
      const arrival = await wire.raw.next(500);
      const isRight = arrival === "silence" || codeOf(arrival) === Code.DeadlineExceeded;
      expectThat("nothing, or DeadlineExceeded (4)", isRight, describeArrival(arrival));
      await expectAlive(lab, wire, 3);
    },
  },
  {
    id: "wire.other-group",
    title: "a peer with another group id is closed without a byte",
    sections: "1.8",
    numbers: [29],
    run: async (lab) => {
      const wire = await openWire(lab);
      const path = wire.container.shim.reply.address.replace(/^unix:\/\//, "");
      const stranger = spawn(process.execPath, ["-e", STRANGER, path], {
        gid: 65534,
        stdio: ["pipe", "pipe", "ignore"],
      });
      stranger.stdin.on("error", () => undefined).end(wire.state(1));
      let came = "";
      stranger.stdout.on("data", (chunk: Buffer) => {
        came += chunk;
      });
      await within("the stranger's end", once(stranger, "close"), lab.limitMs);
      expectEqual("bytes for it", came, "0");
    },
  },
];
