import { setTimeout as delay } from "node:timers/promises";
import { containerd, ttrpc } from "@trimaran/proto";
import { Code, FrameType } from "ttrpc-ts";
import { answers, type Breakage, calls, edited, forgiving, LACKING, NOT_FOUND, OK, request } from "./breakage.ts";

export const TASK: Readonly<Record<string, Breakage>> = {
  "v3: another state": {
    caughtBy: ["task.both-versions"],
    hooks: {
      frame: (frame) => {
        if (frame.type !== FrameType.Request || !Buffer.from(frame.payload).includes("task.v3")) return [frame];
        const { StateRequest } = containerd.task.v2;
        const request = ttrpc.Request.decode(frame.payload);
        return [
          { ...frame, payload: ttrpc.Request.encode({ ...request, payload: StateRequest.encode({ id: "unknown" }) }) },
        ];
      },
    },
  },
  "Connect: an unknown id is NotFound": {
    caughtBy: ["task.connect"],
    hooks: answers("Connect", ({ taskPid }) => (taskPid === 0 ? NOT_FOUND : undefined)),
  },
  "Pids: an unknown id is OK": { caughtBy: ["task.unknown-id"], hooks: forgiving("Pids") },
  "State: no bundle": { caughtBy: ["task.state"], hooks: edited("State", () => ({ bundle: "" })) },
  "State: RUNNING before Start": {
    caughtBy: ["task.state"],
    hooks: edited("State", ({ status }) => ({ status: status === 1 ? 2 : status })),
  },
  "Create: all is well": {
    caughtBy: [
      "task.create-again",
      "task.create-fails",
      "stdio.binary-v2",
      "stdio.logger-missing",
      "stdio.unknown-scheme",
      "options.unknown-type",
    ],
    hooks: forgiving("Create"),
  },
  "Create: failures are code 12": {
    caughtBy: ["task.create-fails", "task.create-restore", "options.unknown-type"],
    hooks: answers("Create", ({ code }) => (code === undefined ? undefined : LACKING)),
  },
  "Create: failures without words": {
    caughtBy: ["task.create-missing-command", "stdio.logger-missing", "stdio.unknown-scheme"],
    hooks: {
      answer: ({ method }, { code }) =>
        code !== undefined && ["Create", "Start"].includes(method) ? { code, message: "failed" } : undefined,
    },
  },
  "Create: no options, whatever comes": {
    caughtBy: ["options.unknown-type"],
    hooks: request("Create", (create) => {
      create.options = undefined;
    }),
  },
  "Create: options are an error": {
    caughtBy: ["options.empty-value"],
    hooks: calls("Create", ({ request }) =>
      request.options === undefined ? undefined : { code: Code.Unknown, message: "options" },
    ),
  },
  "Create: generic options are code 12": {
    caughtBy: ["options.generic"],
    hooks: calls("Create", ({ request }) => (request.options === undefined ? undefined : LACKING)),
  },
  "Start: again is OK": { caughtBy: ["task.start-twice"], hooks: forgiving("Start") },
  "Wait: answers at once": {
    caughtBy: ["task.wait-before-start"],
    hooks: calls("Wait", () => ({ value: { exitStatus: 9 } })),
  },
  "Wait: each answer is another": {
    caughtBy: ["task.wait-before-start"],
    hooks: edited("Wait", () => ({ exitedAt: { seconds: BigInt(Date.now()), nanos: 1 } })),
  },
  "Start: another pid": {
    caughtBy: ["task.quick-exit"],
    hooks: edited("Start", ({ pid }) => ({ pid: Number(pid) + 1 })),
  },
  "State: no exit status": { caughtBy: ["task.exit-status"], hooks: edited("State", () => ({ exitStatus: 0 })) },
  "Delete: another time": {
    caughtBy: ["task.exit-status"],
    hooks: edited("Delete", () => ({ exitedAt: { seconds: 1_800_000_000n, nanos: 0 } })),
  },
  "Kill: always 9": {
    caughtBy: ["task.kill"],
    hooks: request("Kill", (kill) => {
      kill.signal = 9;
    }),
  },
  "Kill: not before Start": {
    caughtBy: ["task.kill-created"],
    hooks: calls("Kill", ({ isStarted }) => (isStarted ? undefined : OK)),
  },
  "Kill: of an exited one is OK": {
    caughtBy: ["task.kill-exited", "exec.kill-created", "exec.kill"],
    hooks: forgiving("Kill"),
  },
  "Kill: all is not heard": {
    caughtBy: ["task.kill-all"],
    hooks: calls("Kill", ({ request }) => (request.all === true ? OK : undefined)),
  },
  "Kill: an error of another kind": {
    caughtBy: ["faults.kill-races-exit", "task.kill-exited"],
    hooks: answers("Kill", ({ code }) => (code === undefined ? undefined : { code: Code.Internal, message: "broken" })),
  },
  "Delete: a running task is NotFound": {
    caughtBy: ["task.delete-running", "exec.delete-running", "faults.delete-during-exec"],
    hooks: answers("Delete", ({ code }) => (code === undefined ? undefined : NOT_FOUND)),
  },
  "Delete: again is OK": { caughtBy: ["task.delete-twice", "exec.unknown"], hooks: forgiving("Delete") },
  "Delete: of a created task is NotFound": {
    caughtBy: ["task.delete-created"],
    hooks: calls("Delete", ({ isStarted }) => (isStarted ? undefined : NOT_FOUND)),
  },
  "Delete: only promised": { caughtBy: ["task.delete-deadline"], hooks: calls("Delete", () => OK) },
  "Pids: not the execs": {
    caughtBy: ["task.pids"],
    hooks: edited("Pids", ({ processes }) => ({ processes: (processes as unknown[]).slice(0, 1) })),
  },
  "Pids: no details": {
    caughtBy: ["task.pids"],
    hooks: edited("Pids", ({ processes }) => ({
      processes: (processes as { pid: number }[]).map(({ pid }) => ({ pid })),
    })),
  },
  "Pause: only said": {
    caughtBy: ["task.pause", "events.paused", "exec.wrong-state"],
    hooks: calls("Pause", () => OK),
  },
  "Pause: again is OK": { caughtBy: ["task.pause-wrongly"], hooks: forgiving("Pause") },
  "ResizePty: needs a terminal": {
    caughtBy: ["task.resize-close"],
    hooks: calls("ResizePty", () => ({ code: Code.FailedPrecondition, message: "no terminal" })),
  },
  "ResizePty: only said": { caughtBy: ["stdio.terminal", "stdio.exec-terminal"], hooks: calls("ResizePty", () => OK) },
  "CloseIO: once only": {
    caughtBy: ["task.resize-close"],
    hooks: calls("CloseIO", () => ({ code: Code.NotFound, message: "no stdin" })),
  },
  "CloseIO: only said": { caughtBy: ["stdio.stdin"], hooks: calls("CloseIO", () => OK) },
  "Stats: no such type": {
    caughtBy: ["task.stats"],
    hooks: edited("Stats", () => ({ stats: { typeUrl: "some.Metrics", value: new Uint8Array() } })),
  },
  "Stats: empty": {
    caughtBy: ["task.stats"],
    hooks: edited("Stats", ({ stats }) => ({ stats: { ...(stats as object), value: new Uint8Array() } })),
  },
  "Update: only said": { caughtBy: ["task.update"], hooks: calls("Update", () => OK) },
  "Shutdown: now": {
    caughtBy: ["task.shutdown-busy", "start.pod"],
    hooks: calls("Shutdown", () => process.exit(0)),
  },
  "Shutdown: only said": { caughtBy: ["task.shutdown"], hooks: calls("Shutdown", () => OK) },
  "State: waits for Create": {
    caughtBy: ["task.answers-meanwhile"],
    hooks: calls("State", async ({ openOf }) => {
      if (openOf("Create") > 0) await delay(3000);
      return undefined;
    }),
  },
  "Checkpoint: only said": { caughtBy: ["task.checkpoint"], hooks: calls("Checkpoint", () => OK) },
};
