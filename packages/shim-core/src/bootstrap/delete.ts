import { existsSync, readFileSync, rmSync } from "node:fs";
import type { StartAnswer, StartRequest } from "@trimaran/monitor";
import { containerd, taskV2, toTimestamp } from "@trimaran/proto";
import { Client, connectUnix } from "ttrpc-ts";
import { UNDO_FILE } from "../host/undo.ts";
import { parseIdentifier } from "../identifier.ts";
import type { PodDirectory } from "../pod/directory.ts";
import type { Pod } from "../pod/pod.ts";
import { exitStatus } from "../task/exit.ts";
import type { ShimArguments } from "./arguments.ts";

/** What upstream's shim reports for a container that it had to end: killed. */
const KILLED = 137;
const WAKE_LIMIT_MS = 1000;
/** For events. A daemon that asks while it comes up hears none before it has its answer, and tells of what is deleted itself. */
const FLUSH_LIMIT_MS = 200;

/**
 * The `delete` command: end the container, or the sandbox with all its containers, take away what it left, answer a DeleteResponse. Runs after every close of a connection,
 * most often when nothing is left to do. Source: contract, section 2.8.
 */
export async function deleteContainer(
  pods: PodDirectory,
  args: ShimArguments,
  request: StartRequest,
): Promise<StartAnswer> {
  const id = parseIdentifier("-id", args.id);
  const bundle = args.bundle || request.cwd;
  const pod = pods.ofContainer(id) ?? (await wake(pods, bundle, id));
  const ended = await pod?.destroy(id);
  if (pod?.sandbox?.id === id) await pod.endSandbox();
  if (pod?.isEmpty) await pod.shutdown(FLUSH_LIMIT_MS);
  if (!ended && existsSync(`${bundle}/${UNDO_FILE}`)) return { kind: "undo" };
  const stdout = containerd.task.v2.DeleteResponse.encode({
    pid: ended?.pid ?? 0,
    exitStatus: ended?.exit.exit.kind === "exited" ? exitStatus(ended.exit.exit) : KILLED,
    exitedAt: toTimestamp(ended?.exit.exitedAtNs ?? BigInt(Date.now()) * 1_000_000n),
  });
  return { kind: "print", code: 0, stdout, stderr: new Uint8Array(0) };
}

/** A monitor without work is not connected to us: a call on its socket makes it come. */
async function wake(pods: PodDirectory, bundle: string, id: string): Promise<Pod | undefined> {
  const socket = readAddress(bundle)?.replace(/^unix:\/\//, "");
  if (socket === undefined || !existsSync(socket)) return undefined;
  if (pods.ofSocket(socket)) return undefined; // it is awake, and has no such container: a pod's others live on
  try {
    const client = new Client(await connectUnix(socket));
    client
      .service(taskV2)
      .connect({ id }, { timeoutMs: WAKE_LIMIT_MS })
      .catch(() => undefined);
    const pod = await pods.awakened(() => pods.ofContainer(id), WAKE_LIMIT_MS);
    client.close();
    return pod;
  } catch (error) {
    if (isRefused(error)) rmSync(socket, { force: true }); // its monitor was killed, maybe before anything was written down to be undone
    return undefined;
  }
}

/** Nobody listens on a socket whose file is there. */
function isRefused(error: unknown): boolean {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof Error && "code" in cause && cause.code === "ECONNREFUSED";
}

/** From our own file, or the daemon's (containerd 2.x keeps the reply of `start`). */
function readAddress(bundle: string): string | undefined {
  try {
    return readFileSync(`${bundle}/address`, "utf8").trim();
  } catch {
    // a protobuf or JSON reply went out, so look at what the daemon made of it
  }
  try {
    const parsed: unknown = JSON.parse(readFileSync(`${bundle}/bootstrap.json`, "utf8"));
    const address: unknown =
      typeof parsed === "object" && parsed !== null && "address" in parsed ? parsed.address : undefined;
    return typeof address === "string" ? address : undefined;
  } catch {
    return undefined;
  }
}
