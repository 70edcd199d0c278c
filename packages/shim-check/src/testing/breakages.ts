import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { containerd, ttrpc } from "@trimaran/proto";
import { Code, FrameType, HEADER_BYTES, MAX_PAYLOAD_BYTES } from "ttrpc-ts";
import type { RecordedEvent } from "../shim/fake-containerd.ts";
import type { Answer, Call, Hooks } from "./hooks.ts";

/** A way to break the contract, and the checks that must see it. */
export interface Breakage {
  readonly caughtBy: readonly string[];
  readonly hooks: Hooks;
}

type Change = (call: Call) => Answer | undefined | Promise<Answer | undefined>;
// biome-ignore lint/suspicious/noExplicitAny: an answer of any method
type AnswerChange = (answer: any, call: Call) => Answer | undefined | Promise<Answer | undefined>;

const OK: Answer = { value: {} };
const NOT_FOUND: Answer = { code: Code.NotFound, message: "not found" };
const LACKING: Answer = { code: Code.Unimplemented, message: "not implemented" };

const calls = (method: string, change: Change): Hooks => ({
  call: (call) => (call.method === method ? change(call) : undefined),
});
const answers = (method: string, change: AnswerChange): Hooks => ({
  answer: (call, answer) => (call.method === method ? change(answer, call) : undefined),
});
/** Success instead of an error. */
const forgiving = (method: string): Hooks => answers(method, ({ code }) => (code === undefined ? undefined : OK));
const edited = (method: string, change: (value: Record<string, unknown>, call: Call) => object): Hooks =>
  answers(method, (answer, call) => ("code" in answer ? undefined : { value: { ...answer, ...change(answer, call) } }));
const late = (method: string, ms: number): Hooks =>
  answers(method, async (answer) => {
    await delay(ms);
    return "code" in answer ? answer : { value: answer };
  });
const events = (change: (event: RecordedEvent, memory: RecordedEvent[]) => RecordedEvent[]): Hooks => ({
  event: change,
});
const drop = (topic: string): Hooks => events((event) => (event.topic === topic ? [] : [event]));
/** An event of `topic` is held back until the next one, which it then follows. */
const swap = (topic: string): Hooks =>
  events((event, memory) => {
    if (event.topic === topic && memory.length === 0) {
      memory.push(event);
      return [];
    }
    return [event, ...memory.splice(0)];
  });
const isInit = ({ request }: Call) => request.execId === undefined || request.execId === "";
const request = (method: string, change: (request: Record<string, unknown>, call: Call) => void): Hooks =>
  calls(method, (call) => {
    change(call.request, call);
    return undefined;
  });

/** Exits of execs are told after init's. */
function execExitsLast(): Hooks {
  const { TaskExit } = containerd.events;
  return events((event, memory) => {
    if (event.topic !== "/tasks/exit") return [event];
    const { id, containerId } = TaskExit.decode(event.value);
    if (id === containerId) return [event, ...memory.splice(0)];
    memory.push(event);
    return [];
  });
}

/** Containerd's variable reaches the container. */
function addToEnvironment(bundle: string, variable: string): void {
  const path = `${bundle}/config.json`;
  const config = JSON.parse(readFileSync(path, "utf8"));
  config.process.env.push(variable);
  writeFileSync(path, JSON.stringify(config));
}

/** The rootfs is written to a place that nobody knows. */
function elsewhere(rootfs: readonly { options: string[] }[], bundle: string): void {
  for (const mount of rootfs) {
    mount.options = mount.options.map((option) => {
      const [, name] = /^(upperdir|workdir)=/.exec(option) ?? [];
      if (name === undefined) return option;
      const path = `${bundle}.${name}`;
      mkdirSync(path, { recursive: true });
      return `${name}=${path}`;
    });
  }
}

/** The third answer does not arrive. */
function thirdIsLost(): AnswerChange {
  let count = 0;
  return () => (++count === 3 ? "never" : undefined);
}

/** Whether a chunk ends in the middle of its first frame. */
function isCut(bytes: Buffer): boolean {
  return bytes.length < HEADER_BYTES || bytes.length < HEADER_BYTES + bytes.readUInt32BE(0);
}

/** What too much memory is taken for. */
const waste: Buffer[] = [];

const taskExit = (change: (exit: containerd.events.TaskExit) => object): Hooks =>
  events((event) => {
    if (event.topic !== "/tasks/exit") return [event];
    const { TaskExit } = containerd.events;
    const exit = TaskExit.decode(event.value);
    return [{ ...event, value: TaskExit.encode({ ...exit, ...change(exit) }) }];
  });

/** Each breaks one thing in a shim that is right otherwise. */
export const BREAKAGES: Readonly<Record<string, Breakage>> = {
  "text: no address file": { caughtBy: ["start.text"], hooks: { start: { removesAddressFile: true } } },
  "json: version 4": {
    caughtBy: ["start.json"],
    hooks: {
      start: { stdout: (_, address) => Buffer.from(JSON.stringify({ version: 4, address, protocol: "ttrpc" })) },
    },
  },
  "protobuf: version 9": {
    caughtBy: ["start.protobuf"],
    hooks: {
      start: {
        stdout: (_, address) =>
          Buffer.from(
            containerd.runtime.bootstrap.v1.BootstrapResult.encode({ version: 9, address, protocol: "ttrpc" }),
          ),
      },
    },
  },
  "start: any options are an error": {
    caughtBy: ["start.empty-options"],
    hooks: { start: { stdin: (bytes) => (bytes.length === 0 ? bytes : Buffer.from("no options")) } },
  },
  "start: only -x v": {
    caughtBy: ["start.flag-forms"],
    hooks: { start: { flags: (argv) => argv.map((word) => word.replace(/^--/, "---")) } },
  },
  "start: a warning": { caughtBy: ["start.quiet"], hooks: { start: { stderr: "warning: odd\n" } } },
  "start: the daemon keeps the pipe": { caughtBy: ["start.lets-go"], hooks: { start: { holdsPipes: true } } },
  "start: failures are swallowed": { caughtBy: ["start.fails-readably"], hooks: { start: { swallowsFailure: true } } },
  "start: a daemon for each": {
    caughtBy: ["start.twice", "start.pod", "start.socket"],
    hooks: { start: { ignoresOthers: true } },
  },
  "start: an old socket is in the way": {
    caughtBy: ["start.stale-socket"],
    hooks: { start: { refusesOldSocket: true } },
  },
  "start: a socket for everybody": { caughtBy: ["start.socket"], hooks: { start: { socketMode: 0o666 } } },
  // the proxy does not look at socket_dir
  "start: no socket_dir": { caughtBy: ["start.socket-dir"], hooks: {} },
  "delete: fails": {
    caughtBy: ["delete.never-started", "delete.daemon-dead", "delete.before-create"],
    hooks: { delete: { fails: true } },
  },
  "delete: does nothing": { caughtBy: ["delete.running", "delete.cleans"], hooks: { delete: { isNothing: true } } },
  "delete: a wrong status": {
    caughtBy: ["delete.running", "restart.shim-killed"],
    hooks: {
      delete: {
        stdout: (bytes) => {
          const { DeleteResponse } = containerd.task.v2;
          return Buffer.from(DeleteResponse.encode({ ...DeleteResponse.decode(bytes), exitStatus: 1 }));
        },
      },
    },
  },
  "delete: a grandchild keeps the pipes": { caughtBy: ["delete.lets-go"], hooks: { delete: { holdsPipes: true } } },
  "delete: takes its time": { caughtBy: ["delete.never-started"], hooks: { delete: { delayMs: 3000 } } },
  "delete: keeps the socket": {
    caughtBy: ["delete.before-create", "restart.shim-killed", "faults.kill-during-create"],
    hooks: { delete: { keepsSocket: true } },
  },
  "info: no name": {
    caughtBy: ["info.answer"],
    hooks: {
      info: (stdout, word) => (word === "-info" ? Buffer.from(containerd.types.RuntimeInfo.encode({})) : stdout),
    },
  },
  "version: silent": {
    caughtBy: ["info.version"],
    hooks: { info: (stdout, word) => (word === "-v" ? Buffer.alloc(0) : stdout) },
  },
  "daemon: in the caller's group": { caughtBy: ["daemon.process"], hooks: { daemon: { isInGroup: true } } },
  "daemon: the caller's OOM score": { caughtBy: ["daemon.oom-score"], hooks: { daemon: { keepsOomScore: true } } },
  "daemon: ends when its client goes": {
    caughtBy: ["restart.running", "restart.exit-meanwhile", "restart.waiting-client-gone", "daemon.log-unread"],
    hooks: { daemon: { endsWithClient: true } },
  },
  "daemon: SIGTERM and State": {
    caughtBy: ["daemon.sigterm"],
    hooks: { daemon: { ignoresTerm: true }, ...edited("State", () => ({ status: 3 })) },
  },
  "environment: containerd's own": {
    caughtBy: ["daemon.environment"],
    hooks: request("Create", ({ bundle }) => addToEnvironment(String(bundle), "NOTIFY_SOCKET=/run/shim-check")),
  },

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

  "events: no start": { caughtBy: ["events.order", "events.drained"], hooks: drop("/tasks/start") },
  "events: exit before start": { caughtBy: ["events.order"], hooks: swap("/tasks/start") },
  "events: an empty io": {
    caughtBy: ["events.create"],
    hooks: events((event) => {
      if (event.topic !== "/tasks/create") return [event];
      const { TaskCreate } = containerd.events;
      return [{ ...event, value: TaskCreate.encode({ ...TaskCreate.decode(event.value), io: {} }) }];
    }),
  },
  "events: another pid in exit": {
    caughtBy: ["events.exit", "events.exec"],
    hooks: taskExit(({ pid }) => ({ pid: pid + 1 })),
  },
  "events: exit is 0": {
    caughtBy: ["restart.exit-meanwhile", "task.exit-status"],
    hooks: taskExit(() => ({ exitStatus: 0 })),
  },
  "events: no exec-started": { caughtBy: ["events.exec"], hooks: drop("/tasks/exec-started") },
  "events: an exit of an exec after init's": { caughtBy: ["exec.races-exit"], hooks: execExitsLast() },
  "events: OOM after the exit": { caughtBy: ["events.oom"], hooks: swap("/tasks/oom") },
  "events: no time": { caughtBy: ["events.envelope"], hooks: events((event) => [{ ...event, timestampNs: 0n }]) },
  "events: no namespace in the metadata": {
    caughtBy: ["events.envelope"],
    hooks: events((event) => [{ ...event, metadataNamespace: "" }]),
  },
  "events: lost while containerd is away": {
    caughtBy: ["events.outage", "faults.events-flap"],
    hooks: { dropsEvents: true },
  },
  "events: told twice": {
    caughtBy: ["events.outage", "faults.events-flap"],
    hooks: events((event) => (event.topic === "/tasks/exit" ? [event, event] : [event])),
  },

  "stdio: stdout is lost": {
    caughtBy: [
      "stdio.complete",
      "stdio.only-stdout",
      "stdio.client-gone",
      "stdio.stdin-stays",
      "options.rootfs-read-only",
      "task.host-pids",
    ],
    hooks: request("Create", (create) => {
      create.stdout = "";
    }),
  },
  "stdio: stderr is lost": {
    caughtBy: ["stdio.only-stderr"],
    hooks: request("Create", (create) => {
      create.stderr = "";
    }),
  },
  "stdio: execs have none": {
    caughtBy: ["stdio.exec", "stdio.background-child"],
    hooks: request("Exec", (exec) => {
      exec.stdout = "";
    }),
  },
  "stdio: no terminal": {
    caughtBy: ["stdio.terminal"],
    hooks: request("Create", (create) => {
      create.terminal = false;
    }),
  },
  "stdio: waits for stdin's client": {
    caughtBy: ["stdio.stdin-unopened"],
    hooks: calls("Create", ({ request }) => (request.stdin === "" ? undefined : "never")),
  },
  "stdio: a file is begun anew": {
    caughtBy: ["stdio.file"],
    hooks: request("Create", ({ stdout }) => rmSync(String(stdout).replace("file://", ""), { force: true })),
  },
  "stdio: a logger's query is lost": {
    caughtBy: ["stdio.binary"],
    hooks: request("Create", (create) => {
      create.stdout = String(create.stdout).replace(/\?.*/, "");
    }),
  },
  "stdio: a stalled reader stalls all": {
    caughtBy: ["faults.stalled-reader"],
    hooks: calls("State", async ({ isStarted }) => {
      if (isStarted) await delay(3000);
      return undefined;
    }),
  },

  "rootfs: the mounts are forgotten": {
    caughtBy: ["options.rootfs-overlay"],
    hooks: request("Create", ({ rootfs, bundle }) => {
      elsewhere(rootfs as { options: string[] }[], String(bundle));
    }),
  },
  "rootfs: never read-only": {
    caughtBy: ["options.rootfs-read-only"],
    hooks: request("Create", ({ rootfs }) => {
      for (const mount of rootfs as { options: string[] }[])
        mount.options = mount.options.filter((option) => option !== "ro");
    }),
  },
  "rootfs: mounts are needed": {
    caughtBy: ["options.rootfs-none"],
    hooks: calls("Create", ({ request }) =>
      request.rootfs.length === 0 ? { code: Code.InvalidArgument, message: "rootfs" } : undefined,
    ),
  },
  "rootfs: a failed mount is no matter": {
    caughtBy: ["options.mount-undone", "task.create-fails"],
    hooks: request("Create", (create) => {
      create.rootfs = (create.rootfs as unknown[]).slice(0, 1);
    }),
  },
  "config.json: nobody minds": {
    caughtBy: ["options.bad-config"],
    hooks: { start: { swallowsFailure: true }, ...forgiving("Create") },
  },

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
