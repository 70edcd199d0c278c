import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { toTimestamp } from "@trimaran/proto";
import { type Directories, layout } from "../bundles/directories.ts";
import { rootLayout } from "../bundles/root-layout.ts";
import { shareDirectory, tryLockDirectory } from "../daemon/directory-lock.ts";
import { Code, hasCode } from "../errors/manager-error.ts";
import { EventExchange } from "../events/event-exchange.ts";
import { EventsServer } from "../events/events-server.ts";
import { inProcessServices } from "../grpc/in-process.ts";
import { lazyImplementation } from "../grpc/lazy-implementation.ts";
import { type Implementations, SERVICE_TABLES, type ServiceName, type Services } from "../grpc/services.ts";
import { lockFile } from "../host/file-lock.ts";
import { once } from "../host/once.ts";
import { loadSyscalls, type Syscalls } from "../host/syscalls.ts";
import { ContainerRecords } from "../metadata/containers.ts";
import { Database } from "../metadata/database.ts";
import { SandboxRecords } from "../metadata/sandboxes.ts";
import { SandboxRegistry } from "../sandboxes/sandbox-registry.ts";
import { containersService } from "../services/containers-service.ts";
import { imagesService } from "../services/images-service.ts";
import { noteLostExit } from "../services/note-exit.ts";
import { SandboxEvents } from "../services/sandbox-events.ts";
import { tasksService } from "../services/tasks-service.ts";
import type { ShimHost } from "../tasks/task-host.ts";
import { TaskRegistry } from "../tasks/task-registry.ts";
import type { StepListener } from "../tasks/trace.ts";
import { DeferredCollection } from "./deferred-collection.ts";
import { onDemandTasks } from "./on-demand-tasks.ts";
import { TaskFinder } from "./task-finder.ts";

/** How a process has the manager within itself. */
export interface EmbeddedOptions {
  /** Absolute; made when needed. */
  readonly directories: Directories;
  readonly namespace: string;
  /** Whether anything may be changed: then no daemon can take the directories meanwhile. */
  readonly access: "read" | "write";
  /** Where shims are looked for, in this order. */
  readonly shimDirectories: readonly string[];
  /** Given to shims, with the contract's own variables added. */
  readonly environment: NodeJS.ProcessEnv;
  /** What shims are told to exec for publishing without ttrpc. */
  readonly publishBinary: string;
  readonly debug: boolean;
  readonly version: string;
  readonly trace?: StepListener;
}

/** The services within this process. Disposing ends no task. */
export interface Embedded extends AsyncDisposable {
  readonly services: Services;
}

/** What both halves of the services stand on. */
export interface EmbeddedParts {
  readonly options: EmbeddedOptions;
  readonly database: Database;
  readonly events: EventExchange;
  readonly collection: DeferredCollection;
  readonly shims: ShimHost;
  readonly tasks: TaskRegistry;
  readonly sandboxes: SandboxRegistry;
  readonly sandboxEvents: SandboxEvents;
  readonly syscalls: () => Syscalls;
  /** What is opened later is closed with it. */
  readonly late: AsyncDisposableStack;
}

/**
 * The manager in a process that lives for a command, beside others on the same directories. Records and tasks are there at once, the
 * rest is loaded when it is used. Garbage is collected at the end, by who is alone then. Throws FailedPrecondition if a daemon has
 * the directories.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { directories: dirs, namespace, access } = options;
  await using undo = new AsyncDisposableStack();
  const syscalls = once(loadSyscalls);
  for (const directory of [dirs.root, dirs.state]) await mkdir(directory, { recursive: true, mode: 0o711 });
  const collection = new DeferredCollection();
  if (access === "write") {
    undo.defer(() => collectIfAlone(dirs, collection, syscalls)); // after all else is closed
    for (const directory of new Set([dirs.root, dirs.state])) undo.use(await shareDirectory(directory, syscalls()));
  }
  const database = undo.use(Database.open(rootLayout.database(dirs.root)));
  const events = new EventExchange();
  const server = undo.use(new EventsServer(layout.ttrpcSocket(dirs), events));
  const shims = shimHost(options, syscalls, () => server.ensure());
  const containers = new ContainerRecords(database);
  const tasks = undo.use(
    new TaskRegistry(shims, {
      publish: (event) => events.publish(event),
      lost: (bundle, exit) => noteLostExit(containers, bundle, exit),
      failed: () => {}, // the next command finds the bundle and tries again
    }),
  );
  const sandboxEvents = new SandboxEvents({ events, nowNs });
  const sandboxes = undo.use(
    new SandboxRegistry(shims, {
      logOf: () => () => {},
      lost: (bundle, { status, exitedAtNs }) =>
        sandboxEvents.exited(bundle, { exitStatus: status, exitedAt: toTimestamp(exitedAtNs) }),
      failed: () => {}, // as with tasks
    }),
  );
  const late = undo.use(new AsyncDisposableStack());
  const parts: EmbeddedParts = {
    options,
    database,
    events,
    collection,
    shims,
    tasks,
    sandboxes,
    sandboxEvents,
    syscalls,
    late,
  };
  const services = inProcessServices(implementations(parts, containers), namespace);
  const owned = undo.move();
  return { services, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

function shimHost(options: EmbeddedOptions, syscalls: () => Syscalls, serveEvents: () => Promise<void>): ShimHost {
  const { directories: dirs } = options;
  return {
    dirs,
    parent: { ...options, grpcAddress: layout.grpcSocket(dirs), ttrpcAddress: layout.ttrpcSocket(dirs) },
    shimDirectories: options.shimDirectories,
    syscalls,
    serveEvents,
    lockTask: ({ namespace, id }) => lockTask(dirs, namespace, id, syscalls()),
    trace: options.trace ?? (() => {}),
  };
}

/** A file per container that ever had a task; a reboot removes them. */
async function lockTask(
  dirs: Directories,
  namespace: string,
  id: string,
  syscalls: Syscalls,
): Promise<AsyncDisposable> {
  const folder = join(dirs.state, "locks", namespace);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return lockFile(join(folder, id), syscalls);
}

const nowNs = (): bigint => BigInt(Date.now()) * 1_000_000n;

/** All services; those that need more than records and tasks load the rest when they are called. */
function implementations(parts: EmbeddedParts, containers: ContainerRecords): Implementations {
  const { tasks: registry, shims, options } = parts;
  const rest = once(async () => (await import("./embedded-services.ts")).openEmbeddedServices(parts));
  const lazy = Object.entries(SERVICE_TABLES).map(([name, table]) => [
    name,
    lazyImplementation(table, async () => (await rest()).implementations[name as ServiceName] as never),
  ]);
  const records = { ...parts, nowNs };
  const finder = new TaskFinder(shims, registry, {
    runtimeOf: (namespace, id) => runtimeOf(containers, namespace, id),
    ended: (bundle, exit) => noteLostExit(containers, bundle, exit),
  });
  const tasks = tasksService({
    dirs: options.directories,
    registry,
    containers,
    sandboxRecords: new SandboxRecords(parts.database),
    sandboxes: parts.sandboxes,
    checkpoints: {
      take: async (...request) => (await rest()).checkpoints.take(...request),
      restore: async (...request) => (await rest()).checkpoints.restore(...request),
    },
    logOf: () => () => {},
  });
  return {
    ...(Object.fromEntries(lazy) as Implementations),
    containers: containersService(records),
    images: imagesService(records),
    tasks: onDemandTasks(tasks, finder),
  };
}

function runtimeOf(containers: ContainerRecords, namespace: string, id: string): string | undefined {
  try {
    return containers.get(namespace, id).runtime?.name;
  } catch (error) {
    if (hasCode(error, Code.NotFound)) return undefined;
    throw error;
  }
}

/** Whoever finds others at work leaves the garbage to them. */
async function collectIfAlone(
  dirs: Directories,
  collection: DeferredCollection,
  syscalls: () => Syscalls,
): Promise<void> {
  if (!collection.isDue) return;
  await using alone = await tryLockDirectory(dirs.root, syscalls());
  if (alone === undefined) return;
  const { collectOnce } = await import("./collect-once.ts");
  await collectOnce(dirs);
}
