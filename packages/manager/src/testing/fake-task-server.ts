import { join } from "node:path";
import { containerd, taskV2, taskV3 } from "@trimaran/proto";
import { Code, type Implementation, listenUnix, Server, StatusError } from "ttrpc-ts";
import { writeFakeShim } from "./fake-shim.ts";

type Task = Implementation<typeof taskV2>;

/** `delete` of a fake shim: pid 7, status 137, at second 5. */
export const DIED_WITH_9 = "printf '\\010\\007\\020\\211\\001\\032\\002\\010\\005'";

/** A shim whose `start` and `delete` are a script, and whose task service is this process. */
export interface FakeTaskServer extends Disposable {
  /** Runtime by absolute path. */
  readonly binary: string;
  /** Names of the calls, in order, without State and Connect. */
  readonly calls: string[];
  /** Change an answer. */
  answer(methods: Partial<Task>): void;
  /** The task's process ends: Wait answers, State says so. */
  exit(status: number): void;
  /** All connections close and nobody listens, as after kill -9. */
  die(): void;
}

/** How a fake shim differs from the usual one. */
export interface FakeTaskOptions {
  /** What `start` says that it speaks. Default: 2, by a bare address. */
  readonly version?: 2 | 3;
  /** Add other services. */
  readonly register?: (server: Server, calls: string[]) => void;
}

/**
 * Serve a task that runs as pid 7 until `exit`. The script notes its invocations in `directory`/shim-calls, and what it got on
 * stdin of `start` in `directory`/start-input.
 */
export async function serveFakeTask(
  directory: string,
  { version = 2, register = () => {} }: FakeTaskOptions = {},
): Promise<FakeTaskServer> {
  const socket = join(directory, "shim.sock");
  const binary = writeFakeShim(directory, {
    start: `echo start >> ${directory}/shim-calls; cat > ${directory}/start-input; echo '${reply(socket, version)}'`,
    delete: `echo delete >> ${directory}/shim-calls; ${DIED_WITH_9}`,
  });
  const { CREATED, RUNNING, STOPPED } = containerd.v1.types.Status;
  const calls: string[] = [];
  const exited = Promise.withResolvers<number>();
  let state: containerd.v1.types.Status | undefined;
  let exitStatus = 0;
  const known = () => {
    if (state === undefined) throw new StatusError(Code.NotFound, "container not created");
    return state;
  };
  const task: Task = {
    connect: () => ({ shimPid: process.pid, taskPid: 7, version: "2" }),
    state: ({ id, execId }) => ({ id, execId, pid: 7, status: known(), exitStatus, stdout: "/a/b" }),
    create: () => {
      state = CREATED;
      return { pid: 7 };
    },
    start: () => {
      state = RUNNING;
      return { pid: 7 };
    },
    wait: async () => ({ exitStatus: await exited.promise, exitedAt: { seconds: 9n, nanos: 1 } }),
    delete: () => {
      known();
      state = undefined;
      return { pid: 7, exitStatus, exitedAt: { seconds: 9n, nanos: 1 } };
    },
    stats: () => ({ stats: { typeUrl: "some.Metrics", value: Buffer.from("m") } }),
    pids: () => ({ processes: [{ pid: 7 }] }),
    pause: () => ({}),
    resume: () => ({}),
    checkpoint: () => ({}),
    kill: () => ({}),
    exec: () => ({}),
    resizePty: () => ({}),
    closeIO: () => ({}),
    update: () => ({}),
    shutdown: () => ({}),
  };
  const answers: Record<string, (...given: never[]) => unknown> = { ...task };
  const methods = Object.keys(taskV2.methods).map((name) => [
    name,
    (...given: never[]) => {
      if (name !== "state" && name !== "connect") calls.push(name);
      return answers[name]?.(...given);
    },
  ]);
  const server = new Server();
  for (const service of [taskV2, taskV3]) {
    server.register({ ...taskV2, name: service.name }, Object.fromEntries(methods) as Task);
  }
  register(server, calls);
  await listenUnix(server, socket);
  const die = () => server.close();
  return {
    binary,
    calls,
    answer: (changed) => void Object.assign(answers, changed),
    exit: (status) => {
      [state, exitStatus] = [STOPPED, status];
      exited.resolve(status);
    },
    die,
    [Symbol.dispose]: die,
  };
}

function reply(socket: string, version: 2 | 3): string {
  const address = `unix://${socket}`;
  return version === 2 ? address : JSON.stringify({ version, address, protocol: "ttrpc" });
}
