import { setTimeout as delay } from "node:timers/promises";
import { MAX_PAYLOAD_BYTES } from "ttrpc-ts";
import type { Hooks } from "../hooks.ts";
import { type AnswerChange, answers, type Breakage, calls, isCut } from "./breakage.ts";

/** The third answer does not arrive. */
function thirdIsLost(): AnswerChange {
  let count = 0;
  return () => (++count === 3 ? "never" : undefined);
}

/** What too much memory is taken for. */
const waste: Buffer[] = [];

/** The answer to `method` comes later. */
const late = (method: string, ms: number): Hooks =>
  answers(method, async (answer) => {
    await delay(ms);
    return "code" in answer ? answer : { value: answer };
  });

export const FAULTS: Readonly<Record<string, Breakage>> = {
  "faults: delete does not kill": {
    caughtBy: ["faults.kill-during-start", "faults.kill-during-exec", "faults.kill-during-delete"],
    hooks: { delete: { isNothing: true } },
  },
  "faults: half a frame stops all": {
    caughtBy: ["faults.half-frame"],
    hooks: {
      chunk: (bytes) => {
        if (isCut(bytes)) process.exit(1);
      },
    },
  },
  "faults: memory for all that is announced": {
    caughtBy: ["faults.half-oversized"],
    hooks: {
      chunk: (bytes) => {
        if (bytes.length >= 4 && bytes.readUInt32BE(0) > MAX_PAYLOAD_BYTES)
          waste.push(Buffer.alloc(200 * 1024 * 1024, 1));
      },
    },
  },
  "faults: garbage ends the process": {
    caughtBy: ["faults.garbage"],
    hooks: {
      chunk: (bytes) => {
        if (bytes.length > 10_000) process.exit(1);
      },
    },
  },
  "faults: one call in a hundred is lost": {
    caughtBy: ["faults.parallel-calls"],
    hooks: calls("Connect", ({ streamId }) => (streamId === 103 ? "never" : undefined)),
  },
  "faults: one client's Wait is forgotten": {
    caughtBy: ["faults.many-clients-wait"],
    hooks: answers("Wait", thirdIsLost()),
  },
  "late answers": { caughtBy: ["faults.half-frame"], hooks: late("State", 3000) },
};
