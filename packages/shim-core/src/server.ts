import { type MonitorServer, type StartAnswer, type StartRequest, serveMonitors } from "@trimaran/monitor";
import { sandboxV1, taskV2, taskV3 } from "@trimaran/proto";
import { Server, StatusError } from "ttrpc-ts";
import { parseShimArguments } from "./bootstrap/arguments.ts";
import { deleteContainer } from "./bootstrap/delete.ts";
import { type StartEnvironment, start } from "./bootstrap/start.ts";
import type { Forward } from "./events/outbox.ts";
import { EventPublisher } from "./events/publisher.ts";
import type { Logger } from "./log.ts";
import { measuredService } from "./metrics/measured-service.ts";
import type { TaskMetrics } from "./metrics/task-metrics.ts";
import { PodDirectory } from "./pod/directory.ts";
import { decodeIdentity, type PodIdentity } from "./pod/identity.ts";
import { Pod } from "./pod/pod.ts";
import type { Runtime } from "./runtime.ts";
import { sandboxService } from "./sandbox/service.ts";
import { type Connection, type TaskService, taskService } from "./task/service.ts";
import { toStatus } from "./to-status.ts";

/** Without a pod for this long the task server goes; the next `start` brings another. */
const IDLE_LIMIT_MS = 10_000;

/** What the task server's process gives it. */
export interface ServerOptions extends Omit<StartEnvironment, "pods" | "runtime"> {
  readonly listen: { readonly fd: number } | { readonly path: string };
  readonly log: Logger;
  readonly metrics: TaskMetrics;
  /** Called once, when the first pod of an earlier task server has come back. */
  readonly onRestart: () => void;
  /** Called when it has had nothing to do for a while, and may end. */
  readonly onIdle: () => void;
}

/** One task server: all pods of one runtime, containerd address and namespace. */
export function serveTasks(runtime: Runtime, options: ServerOptions): MonitorServer {
  const { log, metrics } = options;
  let idle: NodeJS.Timeout | undefined;
  const pods = new PodDirectory(() => {
    clearTimeout(idle);
    if (pods.size === 0) idle = setTimeout(options.onIdle, IDLE_LIMIT_MS);
  });
  const server = new Server<Connection>({ toStatus });
  for (const service of [taskV2, taskV3]) server.register<TaskService>(service, measuredService(taskService, metrics));
  server.register(sandboxV1, measuredService(sandboxService, metrics));
  const forward = forwarding(metrics);
  metrics.watch(pods);
  let hasTakenOver = false;
  const monitors = serveMonitors(options.listen, {
    start: (request, signal) => bootstrap({ ...options, runtime, pods, metrics }, request, signal, log),
    monitor(link) {
      const identity = decodeIdentity(link.identity);
      const returns = !pods.isExpected(identity.group);
      if (returns && !hasTakenOver) options.onRestart();
      hasTakenOver ||= returns;
      const pod = new Pod(
        {
          returns,
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
  idle = setTimeout(options.onIdle, IDLE_LIMIT_MS);
  return monitors;
}

/** `start` and `delete`, for a starter. What goes wrong is printed: it is the one line that the user sees. */
async function bootstrap(
  environment: StartEnvironment & { readonly metrics: TaskMetrics },
  request: StartRequest,
  signal: AbortSignal,
  log: Logger,
): Promise<StartAnswer> {
  try {
    const args = parseShimArguments(request.argv.slice(1));
    const isDelete = args.action === "delete";
    return await environment.metrics.measure(isDelete ? "bootstrap_delete" : "bootstrap_start", () =>
      isDelete ? deleteContainer(environment.pods, args, request) : start(environment, args, request, signal),
    );
  } catch (error) {
    if (!(error instanceof StatusError)) log.error("start failed", { error });
    const text = `${environment.shimName}: ${error instanceof Error ? error.message : String(error)}\n`;
    return { kind: "print", code: 1, stdout: new Uint8Array(0), stderr: Buffer.from(text) };
  }
}

/** One connection to each daemon, shared by its pods. */
function forwarding(metrics: TaskMetrics): (identity: PodIdentity) => Forward {
  const publishers = new Map<string, EventPublisher>();
  return ({ ttrpcAddress, namespace }) => {
    if (ttrpcAddress === "") return () => Promise.resolve();
    const publisher = publishers.get(ttrpcAddress) ?? new EventPublisher(ttrpcAddress, namespace);
    publishers.set(ttrpcAddress, publisher);
    return async (envelope) => {
      await publisher.forward(envelope);
      metrics.published(envelope);
    };
  };
}
