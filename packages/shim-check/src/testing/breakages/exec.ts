import { Code } from "ttrpc-ts";
import { answers, type Breakage, calls, edited, forgiving, isInit } from "./breakage.ts";

export const EXEC: Readonly<Record<string, Breakage>> = {
  "exec: State keeps CREATED": {
    caughtBy: ["exec.life"],
    hooks: edited("State", (state, call) => (isInit(call) ? state : { status: 1 })),
  },
  "Exec: a used id is OK": { caughtBy: ["exec.id-taken", "exec.bad-spec"], hooks: forgiving("Exec") },
  "exec: a failed Start stops it": {
    caughtBy: ["exec.fails"],
    hooks: edited("State", (state, call) => ({ status: !isInit(call) && state.status === 1 ? 3 : state.status })),
  },
  "exec: Start never answers after the exit": {
    caughtBy: ["exec.races-exit"],
    hooks: answers("Start", ({ code }, call) => (code !== undefined && !isInit(call) ? "never" : undefined)),
  },
  "exec: all is well after the exit": {
    caughtBy: ["faults.exec-after-exit", "exec.wrong-state"],
    hooks: {
      answer: ({ method }, { code }) =>
        code !== undefined && ["Exec", "Start"].includes(method) ? { value: { pid: 1 } } : undefined,
    },
  },
  "exec: an answer of another": {
    caughtBy: ["faults.exec-storm"],
    hooks: edited("Wait", () => ({ exitStatus: 1 })),
  },
  "exec: Exec fails while Delete is asked": {
    caughtBy: ["faults.delete-during-exec"],
    hooks: calls("Exec", () => ({ code: Code.Internal, message: "broken" })),
  },
};
