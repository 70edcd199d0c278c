import { setTimeout as delay } from "node:timers/promises";
import { type StartAnswer, type StartRequest, serveMonitors } from "@trimaran/monitor";
import {
  monotonicNs,
  type ServiceDescriptor,
  sandboxV1,
  spanAdder,
  TRACE_ENVIRONMENT,
  taskV2,
  taskV3,
  traceCall,
} from "@trimaran/proto";
import { type Implementation, Server, StatusError } from "ttrpc-ts";
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
import { exporting, TASK_SERVER } from "./trace/exporters.ts";
import { tracedService } from "./trace/traced-service.ts";
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
  readonly metrics: TaskMetrics;
  /** Called once, when the first pod of an earlier task server has come back. */
  readonly onRestart: () => void;
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
  const { log, metrics } = options;
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
  const counted = <S extends ServiceDescriptor>(service: Implementation<S, Connection>, wait: keyof typeof service) =>
    tracedService<S>(measuredService<S>(work.counting(service, wait), metrics));
  const tasks = counted<TaskService>(taskService, "wait");
  for (const service of [taskV2, taskV3]) server.register<TaskService>(service, tasks);
  server.register(sandboxV1, counted(sandboxService, "waitSandbox"));
  const forward = forwarding(metrics);
  metrics.watch(pods);
  const exporterOf = exporting(options.shimName, runtime.version);
  const comesUp = birth();
  let hasTakenOver = false;
  const monitors = serveMonitors(options.listen, {
    start: (request, signal) =>
      traceCall({ ...bootstrapCall(request), before: comesUp }, () =>
        work.during(() => bootstrap({ ...options, runtime, pods, metrics }, request, signal, log)),
      ),
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
  lookAgain(options.idleMs);
  return {
    async leave() {
      for (const until = performance.now() + DRAIN_LIMIT_MS; !isAtRest() || silentMs() < QUIET_MS; await delay(20))
        if (performance.now() > until) return;
      if (runtime.staysAwake !== true) await monitors.close();
    },
  };
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
