import { type MonitorServer, type StartAnswer, type StartRequest, serveMonitors } from "@trimaran/monitor";
import { monotonicNs, sandboxV1, spanAdder, TRACE_ENVIRONMENT, taskV2, taskV3, traceCall } from "@trimaran/proto";
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
import { exporting, TASK_SERVER } from "./trace/exporters.ts";
import { tracedService } from "./trace/traced-service.ts";

/** Without a pod for this long the task server goes; the next `start` brings another. */
const IDLE_LIMIT_MS = 10_000;

/** What the task server's process gives it. */
export interface ServerOptions extends Omit<StartEnvironment, "pods" | "runtime"> {
  readonly listen: { readonly fd: number } | { readonly path: string };
  readonly log: Logger;
  /** Called when it has had nothing to do for a while, and may end. */
  readonly onIdle: () => void;
}

/** One task server: all pods of one runtime, containerd address and namespace. */
export function serveTasks(runtime: Runtime, options: ServerOptions): MonitorServer {
  const { log } = options;
  let idle: NodeJS.Timeout | undefined;
  const pods = new PodDirectory(() => {
    clearTimeout(idle);
    if (pods.size === 0) idle = setTimeout(options.onIdle, IDLE_LIMIT_MS);
  });
  const server = new Server<Connection>({ toStatus });
  const tasks = tracedService<TaskService>(taskService);
  for (const service of [taskV2, taskV3]) server.register<TaskService>(service, tasks);
  server.register(sandboxV1, tracedService(sandboxService));
  const forward = forwarding();
  const exporterOf = exporting(options.shimName, runtime.version);
  const comesUp = birth();
  const monitors = serveMonitors(options.listen, {
    start: (request, signal) =>
      traceCall({ ...bootstrapCall(request), before: comesUp }, () =>
        bootstrap({ ...options, runtime, pods }, request, signal, log),
      ),
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
          exporter: exporterOf(identity),
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

/** The starter's environment is the daemon's, and says what a call's metadata says else. Spans of it are for who asks, not for collectors. */
function bootstrapCall({ argv, env }: StartRequest) {
  const { parent, directory } = TRACE_ENVIRONMENT;
  const name = `shim ${argv.at(-1) ?? ""}`;
  return {
    ...{ name, process: TASK_SERVER, traceparent: env.get(parent), directory: env.get(directory) },
    exporter: undefined,
    canBegin: false,
  };
}

/** The first starter has waited for this process to come up: to be told beside its call. */
function birth(): () => void {
  const servesNs = monotonicNs();
  const bornNs = servesNs - BigInt(Math.round(performance.now() * 1e6));
  let isTold = false;
  return () => {
    if (!isTold)
      spanAdder()?.({ name: "task server comes up", process: TASK_SERVER, startNs: bornNs, endNs: servesNs });
    isTold = true;
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
