import { mkdir } from "node:fs/promises";
import { toTimestamp } from "@trimaran/proto";
import type { Bundle } from "../bundles/bundle.ts";
import { Code, hasCode, messageOf } from "../errors/manager-error.ts";
import { EventsServer } from "../events/events-server.ts";
import type { BoundMethod, BoundService } from "../grpc/bound-service.ts";
import { serveGrpc } from "../grpc/grpc-server.ts";
import { requireSocketPath } from "../grpc/unix-socket.ts";
import type { Logger } from "../host/logger.ts";
import { once } from "../host/once.ts";
import { loadSyscalls } from "../host/syscalls.ts";
import { trimMemory } from "../host/trim-memory.ts";
import { ContainerRecords } from "../metadata/containers.ts";
import { DaemonMetrics } from "../metrics/daemon-metrics.ts";
import { tellMetrics } from "../metrics/tell-metrics.ts";
import { recoverSandboxes } from "../sandboxes/recover-sandboxes.ts";
import { SandboxRegistry } from "../sandboxes/sandbox-registry.ts";
import { noteLostExit } from "../services/note-exit.ts";
import { SandboxEvents } from "../services/sandbox-events.ts";
import { readServerId } from "../services/server-id.ts";
import { recoverTasks } from "../tasks/recover-tasks.ts";
import type { ShimHost } from "../tasks/task-host.ts";
import { TaskRegistry } from "../tasks/task-registry.ts";
import { bindServices, composeServices } from "./compose-services.ts";
import type { DaemonOptions } from "./daemon-options.ts";
import { lockDirectory } from "./directory-lock.ts";
import { shimLogSink } from "./log-shim.ts";
import { openStores, type Stores } from "./open-stores.ts";
import { QuietTime } from "./quiet-time.ts";
import { openExporter, tracedService } from "./traced-service.ts";

/** Longer than an idle layer thread lives. */
const QUIET_MS = 5000;
/** How long the end waits for a collector. */
const LAST_SPANS_MS = 500;

/** A daemon that serves. Disposing stops it; tasks live on. */
export interface Daemon extends AsyncDisposable {
  readonly address: string;
}

/**
 * Serve containerd's API on the directories: take them, find the tasks of an earlier daemon, listen. Throws FailedPrecondition if
 * another daemon has them, InvalidArgument for a bad address.
 */
export async function openDaemon(options: DaemonOptions): Promise<Daemon> {
  const { directories: dirs, address, log, version } = options;
  const ttrpcAddress = `${address}.ttrpc`;
  requireSocketPath(ttrpcAddress);
  await using undo = new AsyncDisposableStack();
  const syscalls = once(loadSyscalls);
  for (const directory of new Set([dirs.root, dirs.state])) {
    await mkdir(directory, { recursive: true, mode: 0o711 });
    undo.use(await lockDirectory(directory, syscalls()));
  }
  const stores = await openStores(dirs, log, undo);
  const ttrpc = undo.use(new EventsServer(ttrpcAddress, stores.events));
  await ttrpc.ensure(); // before the first shim starts; those of an earlier daemon have waited with their events
  const shims: ShimHost = {
    dirs,
    parent: { ...options, grpcAddress: address, ttrpcAddress },
    shimDirectories: options.shimDirectories,
    syscalls,
    serveEvents: async () => {},
    trace: (step, durationMs) => log.debug("step", { step, duration_ms: durationMs.toFixed(1) }),
  };
  const sandboxEvents = new SandboxEvents(stores);
  const sandboxes = undo.use(await openSandboxes(options, shims, sandboxEvents));
  const tasks = undo.use(await openTasks(options, stores, shims));
  const uuid = await readServerId(dirs.root);
  const quiet = undo.use(new QuietTime(QUIET_MS, () => trimMemory(syscalls())));
  const implementations = composeServices({
    dirs,
    stores,
    shims,
    tasks,
    sandboxes,
    sandboxEvents,
    version,
    uuid,
    log,
  });
  const exporter = openExporter(options.environment, version);
  undo.defer(() => exporter?.flush(LAST_SPANS_MS));
  const metrics = new DaemonMetrics(address, () => tasks.size);
  undo.use(await tellMetrics(dirs.state, () => metrics.report()));
  if (options.metrics) undo.use(await serveNode(options.metrics, dirs.state, log));
  const services = bindServices(implementations)
    .map((service) => metrics.measured(tracedService(service, exporter)))
    .map((service) => touching(service, quiet));
  const report = (error: unknown, method: string) => log.error("internal error", { method, error: stackOf(error) });
  undo.use(await serveGrpc({ path: address, services, report }));
  quiet.touch();
  log.info("serving", { address });
  undo.defer(() => log.info("stopping", { address }));
  const owned = undo.move();
  return { address, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

/** The endpoint of the node, within the daemon. */
async function serveNode({ address, taskServers }: NonNullable<DaemonOptions["metrics"]>, state: string, log: Logger) {
  const { serveNodeMetrics } = await import("../metrics/metrics-endpoint.ts");
  const server = await serveNodeMetrics(address, taskServers, [state]);
  log.info("serving metrics", { address: server.url });
  return server;
}

/** Every call ends a quiet time. */
function touching(service: BoundService, quiet: QuietTime): BoundService {
  const touched = [...service].map(([key, method]): [string, BoundMethod] => {
    const handler: BoundMethod["handler"] = (request, call) => {
      quiet.touch();
      return method.handler(request, call);
    };
    return [key, { ...method, handler }];
  });
  return new Map(touched);
}

/** The sandboxes that an earlier daemon has left, and those to come. */
async function openSandboxes({ log }: DaemonOptions, shims: ShimHost, events: SandboxEvents): Promise<SandboxRegistry> {
  const failed = (msg: string, { namespace, id }: Bundle, error: unknown) =>
    log.error(msg, { namespace, sandbox_id: id, error: messageOf(error) });
  const registry = new SandboxRegistry(shims, {
    logOf: ({ namespace, id }) => shimLogSink(log, namespace, id),
    lost: (bundle, { status, exitedAtNs }) => {
      log.warning("sandbox's shim is gone", { namespace: bundle.namespace, sandbox_id: bundle.id });
      events.exited(bundle, { exitStatus: status, exitedAt: toTimestamp(exitedAtNs) });
      events.forgotten(bundle.namespace, bundle.id);
    },
    failed,
  });
  await recoverSandboxes(shims, registry, (bundle, error) => failed("cannot recover a sandbox", bundle, error));
  return registry;
}

/** The tasks that an earlier daemon has left, and those to come. */
async function openTasks({ log }: DaemonOptions, stores: Stores, shims: ShimHost): Promise<TaskRegistry> {
  const place = ({ namespace, id }: Bundle) => ({ namespace, id });
  const containers = new ContainerRecords(stores.database);
  const registry = new TaskRegistry(shims, {
    publish: (event) => stores.events.publish(event),
    lost: (bundle, exit) => noteLostExit(containers, bundle, exit),
    failed: (msg, bundle, error) => log.error(msg, { ...place(bundle), error: messageOf(error) }),
  });
  await recoverTasks(shims, registry, {
    runtimeOf: (namespace, id) => runtimeOf(containers, namespace, id),
    logOf: ({ namespace, id }) => shimLogSink(log, namespace, id),
    lost: (bundle, error) =>
      log.warning("shim is gone", { ...place(bundle), error: error === undefined ? undefined : messageOf(error) }),
    ended: (bundle, exit) => noteLostExit(containers, bundle, exit),
  });
  return registry;
}

function runtimeOf(containers: ContainerRecords, namespace: string, id: string): string | undefined {
  try {
    return containers.get(namespace, id).runtime?.name;
  } catch (error) {
    if (hasCode(error, Code.NotFound)) return undefined;
    throw error;
  }
}

function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
