import { join } from "node:path";
import {
  type ClientContainer,
  type ClientTask,
  createContainer,
  execProcess,
  type FifoSet,
  type ManagerClient,
  openClient,
  type StdioRequest,
} from "@trimaran/manager";
import type { Engine } from "./containerd.ts";
import { IMAGE } from "./images.ts";

/** How a process ended, and what it wrote to stdout. */
export interface Ended {
  readonly status: number;
  readonly stdout: string;
}

/** A client of the engine's gRPC API in this process: a call costs no start of a program, as one by ctr does. */
export function openEngineClient(engine: Engine): Promise<ManagerClient> {
  return openClient({
    directories: { root: join(engine.dir, "client"), state: join(engine.dir, "client-state") },
    namespace: engine.namespace,
    address: engine.address,
    access: "write",
    shimDirectories: [],
    environment: process.env,
    publishBinary: "",
    debug: false,
    version: "e2e",
  });
}

/** Put a container of the test image on record. */
export function recordContainer(
  client: ManagerClient,
  { id, runtime, args }: { readonly id: string; readonly runtime: string; readonly args: readonly string[] },
): Promise<ClientContainer> {
  const flags = { direct: false, autoRemove: false, keepOutput: false, ports: [], transfer: {} } as const;
  return createContainer(client, { ...flags, id, runtime, source: IMAGE, args, options: {} });
}

/** FIFOs whose stdout is read from now on. */
export interface ReadStdio extends AsyncDisposable {
  readonly fifos: FifoSet;
  /** All that came, once the writer has closed its end. Call `fifos.release` before. */
  text(): Promise<string>;
}

/** Open FIFOs for a process, and read. */
export async function openReadStdio(client: ManagerClient, request: Partial<StdioRequest> = {}): Promise<ReadStdio> {
  const fifos = await client.openStdio({ terminal: false, stdin: false, ...request });
  const chunks: Buffer[] = [];
  fifos.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
  fifos.stderr?.resume();
  return {
    fifos,
    async text() {
      await fifos.ended();
      return Buffer.concat(chunks).toString();
    },
    [Symbol.asyncDispose]: () => fifos[Symbol.asyncDispose](),
  };
}

/** Run a further process in a container, to its end. */
export async function runExec(
  client: ManagerClient,
  {
    container,
    task,
    execId,
  }: { readonly container: ClientContainer; readonly task: ClientTask; readonly execId: string },
  args: readonly string[],
): Promise<Ended> {
  const spec = await execProcess(client, container, { args, terminal: false, env: [], cwd: "/", user: undefined });
  await using stdio = await openReadStdio(client);
  await task.exec(execId, spec, stdio.fifos.io);
  const exit = task.wait(execId);
  exit.catch(() => undefined); // looked at below, unless Start fails first
  await task.start(execId);
  await stdio.fifos.release();
  const { status } = await exit;
  await task.deleteExec(execId);
  return { status, stdout: await stdio.text() };
}
