import { setTimeout as delay } from "node:timers/promises";
import { type Bundle, readBootstrap, readSandbox } from "../bundles/bundle.ts";
import { Code, errnoOf, hasCode } from "../errors/manager-error.ts";
import type { Syscalls } from "../host/syscalls.ts";
import { ShimConnection } from "../shims/shim-connection.ts";
import type { ShimEndpoint } from "../shims/shim-reply.ts";
import { isClosed } from "./closed-connection.ts";
import { shutDown } from "./create-task.ts";

const ANSWER_TIMEOUT_MS = 5000;
const DIAL_TRIES = 20;
const DIAL_PAUSE_MS = 50;

/**
 * Connect to the shim of a bundle. Undefined if there is none (any more), or if it lives without the task: then it is ended here.
 * A shim that takes the connection and does not answer in 5 s counts as there: its container may be well.
 */
export async function reconnectShim(bundle: Bundle, syscalls: () => Syscalls): Promise<ShimConnection | undefined> {
  const dialled = await dialShim(bundle, syscalls);
  if (dialled === undefined) return undefined;
  try {
    return await askForTask(dialled, bundle.id);
  } catch (error) {
    if (isClosed(error)) return undefined;
    if (!hasCode(error, Code.NotFound)) return dialled;
    if ((await readSandbox(bundle)) === undefined) await shutDown(dialled, bundle.id);
    else dialled[Symbol.dispose](); // the shim is its pod's, and may have others
    return undefined;
  }
}

/** A connection to the shim of a bundle, if somebody listens there. */
export async function dialShim(bundle: Bundle, syscalls: () => Syscalls): Promise<ShimConnection | undefined> {
  const endpoint = await readBootstrap(bundle, syscalls).catch(() => undefined); // cut short, or not ours
  return endpoint && (await dial(endpoint, bundle.namespace));
}

/** State, not Connect, tells: a shim answers Connect without a task, too. Not Pids: those of a stopped task are none. */
async function askForTask(connection: ShimConnection, id: string): Promise<ShimConnection> {
  try {
    await connection.task.state({ id }, { timeoutMs: ANSWER_TIMEOUT_MS });
    return connection;
  } catch (error) {
    if (connection.endpoint.version !== 3 || !hasCode(error, Code.Unimplemented)) throw error;
    return askForTask(connection.asVersion2(), id); // it announces 3 and serves 2, see Create
  }
}

/** EAGAIN is a full backlog: somebody listens. Any other error means that nobody does. */
async function dial(endpoint: ShimEndpoint, namespace: string): Promise<ShimConnection | undefined> {
  for (let tries = DIAL_TRIES; tries > 0; tries--) {
    try {
      return await ShimConnection.open(endpoint, namespace);
    } catch (error) {
      if (!(error instanceof Error) || errnoOf(error.cause) !== "EAGAIN") return undefined;
      await delay(DIAL_PAUSE_MS);
    }
  }
  return undefined;
}
