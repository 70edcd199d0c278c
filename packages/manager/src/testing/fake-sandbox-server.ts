import { type containerd, sandboxV1 } from "@trimaran/proto";
import { Code, type Implementation, StatusError } from "ttrpc-ts";
import { type FakeTaskServer, serveFakeTask } from "./fake-task-server.ts";

type Sandbox = Implementation<typeof sandboxV1>;
type CreateSandboxRequest = containerd.runtime.sandbox.v1.CreateSandboxRequest;

/** A shim that keeps one sandbox and one task in it. */
export interface FakeSandboxServer extends FakeTaskServer {
  /** What CreateSandbox got. */
  readonly created: CreateSandboxRequest[];
  /** Change an answer of the sandbox service. */
  answerSandbox(methods: Partial<Sandbox>): void;
}

const AT = { seconds: 9n, nanos: 1 };

/** Serve it: `serveFakeTask` of version 3, and a sandbox that is READY between StartSandbox and StopSandbox, which ends it with 3. */
export async function serveFakeSandbox(directory: string, version: 2 | 3 = 3): Promise<FakeSandboxServer> {
  const created: CreateSandboxRequest[] = [];
  const stopped = Promise.withResolvers<void>();
  let state = "SANDBOX_NOTREADY";
  const answers: Record<string, (...given: never[]) => unknown> = {};
  const sandbox: Sandbox = {
    createSandbox: (request) => {
      created.push(request);
      return {};
    },
    startSandbox: () => {
      state = "SANDBOX_READY";
      return { pid: 70, createdAt: AT };
    },
    platform: () => ({ platform: { os: "linux", architecture: "riscv64" } }),
    stopSandbox: () => {
      state = "SANDBOX_NOTREADY";
      stopped.resolve();
      return {};
    },
    waitSandbox: async () => {
      await stopped.promise;
      return { exitStatus: 3, exitedAt: AT };
    },
    sandboxStatus: ({ sandboxId, verbose }) => {
      if (created.length === 0) throw new StatusError(Code.NotFound, "no sandbox");
      return { sandboxId, pid: 70, state, createdAt: AT, info: verbose ? { a: "b" } : {} };
    },
    pingSandbox: () => ({}),
    shutdownSandbox: () => ({}),
    sandboxMetrics: ({ sandboxId }) => ({
      metrics: { id: sandboxId, data: { typeUrl: "m", value: Buffer.from("x") } },
    }),
  };
  Object.assign(answers, sandbox);
  const task = await serveFakeTask(directory, {
    version,
    register(server, calls) {
      const methods = Object.keys(sandboxV1.methods).map((name) => [
        name,
        (...given: never[]) => {
          if (name !== "sandboxStatus") calls.push(name);
          return answers[name]?.(...given);
        },
      ]);
      server.register(sandboxV1, Object.fromEntries(methods) as Sandbox);
    },
  });
  return { ...task, created, answerSandbox: (changed) => void Object.assign(answers, changed) };
}
