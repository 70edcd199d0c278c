import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { StartAnswer, StartRequest } from "@trimaran/monitor";
import { connectUnix } from "ttrpc-ts";
import { writeUndo } from "../host/undo.ts";
import { parseIdentifier } from "../identifier.ts";
import type { PodDirectory } from "../pod/directory.ts";
import { encodeIdentity, type PodIdentity } from "../pod/identity.ts";
import type { Runtime } from "../runtime.ts";
import { SOCKET_DIRECTORY, socketPath } from "./address.ts";
import type { ShimArguments } from "./arguments.ts";
import { daemonMajorVersion } from "./daemon-version.ts";
import { readGroup } from "./group.ts";
import { parseStartInput, type StartInput } from "./input.ts";
import { encodeReply, replyForm } from "./reply.ts";
import { serveProgram } from "./serve-program.ts";

/** What `start` needs of the task server. */
export interface StartEnvironment {
  readonly runtime: Runtime;
  readonly pods: PodDirectory;
  /** Path of a file that the daemon execs as its monitor: sealed, so that no container can write to it. */
  readonly monitorImage: string;
  readonly shimName: string;
  readonly stateDirectory: string;
  readonly cacheDirectory: string;
  readonly monitorEnvironment: Readonly<Record<string, string>>;
}

/** How long a second `start` of a pod waits for the first one's monitor. */
const PEER_LIMIT_MS = 5000;

/**
 * The `start` command: join the pod's monitor if there is one, else tell the starter how to become it. Throws what is wrong with the
 * request; the starter prints that. Source: contract, sections 2.2 to 2.7.
 */
export async function start(
  environment: StartEnvironment,
  args: ShimArguments,
  request: StartRequest,
  signal: AbortSignal,
): Promise<StartAnswer> {
  const id = parseIdentifier("-id", args.id);
  const namespace = parseIdentifier("-namespace", args.namespace);
  const input = parseStartInput(request.stdin, { id, namespace });
  environment.runtime.checkOptions?.(input.options);
  const group = readGroup(request.cwd, id);
  const form = replyForm({
    bootstrapParams: input.bootstrapParams,
    majorVersion: await majorVersion(environment, args, request, input, signal),
  });
  const reply = (path: string): Uint8Array => {
    const address = `unix://${path}`;
    if (form !== "protobuf") writeAddress(request.cwd, address);
    return encodeReply(form, address);
  };
  await environment.pods.arrival(group, PEER_LIMIT_MS);
  const socket = socketPath({
    address: args.address,
    namespace,
    group,
    ...(input.socketDir ? { socketDir: input.socketDir } : {}),
  });
  if (environment.pods.ofGroup(group) || (await answers(socket)))
    return { kind: "print", code: 0, stdout: reply(socket), stderr: new Uint8Array(0) };
  const identity: PodIdentity = {
    id,
    group,
    namespace,
    bundle: request.cwd,
    socket,
    ttrpcAddress: input.ttrpcAddress ?? request.env.get("TTRPC_ADDRESS") ?? "",
    debug: args.debug,
    version: environment.runtime.version,
    options: input.options.map(({ typeUrl, value }) => ({ typeUrl, value: Buffer.from(value).toString("base64") })),
  };
  mkdirSync(dirname(socket), { recursive: true, mode: dirname(socket) === SOCKET_DIRECTORY ? 0o711 : 0o700 });
  // from its bind on nobody but `delete` may be there to take the socket away; Create writes the list anew
  writeUndo(request.cwd, [{ verb: "unlink", path: socket }]);
  environment.pods.expect(group);
  const program = serveProgram({
    image: environment.monitorImage,
    socket,
    bundle: request.cwd,
    argv: [
      environment.shimName,
      "-namespace",
      namespace,
      "-id",
      id,
      "-address",
      args.address,
      ...(args.debug ? ["-debug"] : []),
    ],
    env: { ...environment.monitorEnvironment, TRIMARAN_MONITOR: encodeIdentity(identity) },
    attachFiles: environment.runtime.monitorCgroup?.(input.options) ?? [],
    oomScoreAdj: daemonOomScore(request.pid),
    coreScheduling: request.env.get("SCHED_CORE") === "1",
  });
  return { kind: "serve", stdout: reply(socket), program };
}

async function majorVersion(
  environment: StartEnvironment,
  args: ShimArguments,
  request: StartRequest,
  input: StartInput,
  signal: AbortSignal,
): Promise<number> {
  if (input.bootstrapParams || request.env.get("MAX_SHIM_VERSION") === undefined) return 1;
  return await daemonMajorVersion(args.publishBinary, `${environment.cacheDirectory}/containerd-versions.json`, signal);
}

/** Whether a monitor that this task server does not know yet listens there: it sleeps, or serves another task server's work. */
async function answers(socket: string): Promise<boolean> {
  if (!existsSync(socket)) return false; // nearly always, and a look is cheaper than a failed connect
  try {
    (await connectUnix(socket)).close();
    return true;
  } catch {
    return false;
  }
}

/** containerd 1.6 and 1.7 find a shim again by this file. It is whole before anybody can connect. */
function writeAddress(bundle: string, address: string): void {
  const temporary = `${bundle}/.address`;
  writeFileSync(temporary, address, { mode: 0o600 });
  renameSync(temporary, `${bundle}/address`);
}

/** One more than the daemon's, so that the kernel takes the shim before containerd. */
function daemonOomScore(pid: number): number {
  try {
    return Math.min(1000, Number.parseInt(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"), 10) + 1);
  } catch {
    return 1;
  }
}
