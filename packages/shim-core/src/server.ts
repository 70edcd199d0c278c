import { setTimeout as delay } from "node:timers/promises";
import { type StartAnswer, type StartRequest, serveMonitors } from "@trimaran/monitor";
import { sandboxV1, taskV2, taskV3 } from "@trimaran/proto";
import { Server, StatusError } from "ttrpc-ts";
import { parseShimArguments } from "./bootstrap/arguments.ts";
import { deleteContainer } from "./bootstrap/delete.ts";
import { type StartEnvironment, start } from "./bootstrap/start.ts";
import type { Forward } from "./events/outbox.ts";
import { EventPublisher } from "./events/publisher.ts";
import type { Logger } from "./log.ts";
import { PodDirectory } from "./pod/directory.ts";
import { decodeIdentity, type PodIdentity } from "./pod/identity.ts";
import { Pod } from "./pod/pod.ts";
import type { Runtime } from "./runtime.ts";
import { sandboxService } from "./sandbox/service.ts";
import { type Connection, type TaskService, taskService } from "./task/service.ts";
import { toStatus } from "./to-status.ts";
import { Work } from "./work.ts";

/** Without a pod for this long the task server goes; the next `start` brings another. */
const IDLE_LIMIT_MS = 10_000;
/** No news for this long is the end of all that an event still sets off, such as the last bytes of a process that has exited. */
const QUIET_MS = 500;
/** One that has to go and is not at rest by then goes as if it were killed. */
const DRAIN_LIMIT_MS = 3000;

/** What the task server's process gives it. */
export interface ServerOptions extends Omit<StartEnvironment, "pods" | "runtime"> {
  readonly listen: { readonly fd: number } | { readonly path: string };
  readonly log: Logger;
  /** With pods, and without anything to do for this long, it goes as well; what happens next brings another. 0: never. */
  readonly idleMs: number;
  /** Called when it has had nothing to do for a while, and may end. */
  readonly onIdle: () => void;
}

/** A running task server. */
export interface TaskServer {
  /**
   * Make way for another: finish what is open, within a bound, and let the monitors sleep. Where something is still open after that, or
   * where the monitors alone could not wake another, nothing is said: for them this one was killed. The process is to end then.
   */
  leave(): Promise<void>;
}

/** One task server: all pods of one runtime, containerd address and namespace. */
export function serveTasks(runtime: Runtime, options: ServerOptions): TaskServer {
  const { log } = options;
  const work = new Work();
  let idle: NodeJS.Timeout | undefined;
  const silentMs = () => performance.now() - monitors.heardAtMs;
  const isAtRest = () => work.isNone && pods.every((pod) => pod.isQuiet);
  const lookAgain = (ms: number): void => {
    clearTimeout(idle);
    if (pods.size === 0) idle = setTimeout(options.onIdle, IDLE_LIMIT_MS);
    else if (options.idleMs > 0 && runtime.staysAwake !== true) idle = setTimeout(look, ms);
  };
  const look = (): void => {
    const leftMs = options.idleMs - silentMs();
    if (leftMs <= 0 && isAtRest()) void monitors.close().then(options.onIdle);
    else lookAgain(Math.max(leftMs, QUIET_MS));
  };
  const pods = new PodDirectory(() => lookAgain(options.idleMs));
  const server = new Server<Connection>({ toStatus });
  for (const service of [taskV2, taskV3]) server.register<TaskService>(service, work.counting(taskService, "wait"));
  server.register(sandboxV1, work.counting(sandboxService, "waitSandbox"));
  const forward = forwarding();
  const monitors = serveMonitors(options.listen, {
    start: (request, signal) => work.during(() => bootstrap({ ...options, runtime, pods }, request, signal, log)),
    monitor(link) {
      const identity = decodeIdentity(link.identity);
      const pod = new Pod(
        {
          returns: !pods.isExpected(identity.group),
          runtime,
          server,
          log,
          cacheDirectory: options.cacheDirectory,
          forward,
        },
        link,
        identity,
      );
      link.onClose = () => {
        pod.close();
        pods.remove(pod);
      };
      pods.add(pod);
    },
  });
  lookAgain(options.idleMs);
  return {
    async leave() {
      for (const until = performance.now() + DRAIN_LIMIT_MS; !isAtRest() || silentMs() < QUIET_MS; await delay(20))
        if (performance.now() > until) return;
      if (runtime.staysAwake !== true) await monitors.close();
    },
  };
}

/** `start` and `delete`, for a starter. What goes wrong is printed: it is the one line that the user sees. */
async function bootstrap(
  environment: StartEnvironment,
  request: StartRequest,
  signal: AbortSignal,
  log: Logger,
): Promise<StartAnswer> {
  try {
    const args = parseShimArguments(request.argv.slice(1));
    if (args.action === "delete") return await deleteContainer(environment.pods, args, request);
    return await start(environment, args, request, signal);
  } catch (error) {
    if (!(error instanceof StatusError)) log.error("start failed", { error });
    const text = `${environment.shimName}: ${error instanceof Error ? error.message : String(error)}\n`;
    return { kind: "print", code: 1, stdout: new Uint8Array(0), stderr: Buffer.from(text) };
  }
}

/** One connection to each daemon, shared by its pods. */
function forwarding(): (identity: PodIdentity) => Forward {
  const publishers = new Map<string, EventPublisher>();
  return ({ ttrpcAddress, namespace }) => {
    if (ttrpcAddress === "") return () => Promise.resolve();
    const publisher = publishers.get(ttrpcAddress) ?? new EventPublisher(ttrpcAddress, namespace);
    publishers.set(ttrpcAddress, publisher);
    return (envelope) => publisher.forward(envelope);
  };
}
