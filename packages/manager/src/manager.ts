import type { Directories } from "./bundles/directories.ts";
import { layout } from "./bundles/directories.ts";
import { parseIdentifier } from "./bundles/identifier.ts";
import { EventExchange } from "./events/event-exchange.ts";
import { EventsServer } from "./events/events-server.ts";
import { once } from "./host/once.ts";
import { loadSyscalls } from "./host/syscalls.ts";
import { ImageStore } from "./images/image-store.ts";
import { Containers } from "./services/containers.ts";
import { readSpecHost } from "./services/spec-host.ts";
import { Tasks } from "./services/tasks.ts";
import { FifoSet, type StdioRequest } from "./stdio/fifo-set.ts";
import { ContainerStore } from "./stores/container-store.ts";
import type { StepListener } from "./tasks/trace.ts";

export interface ManagerOptions {
  /** Default `root` /var/lib/trimaran, `state` /run/trimaran/manager; made when needed. Absolute. */
  readonly directories?: Directories;
  /** Default "default". */
  readonly namespace?: string;
  /** Where shims are looked for, in this order. */
  readonly shimDirectories: readonly string[];
  /** Given to shims, with the contract's own variables added. */
  readonly environment: NodeJS.ProcessEnv;
  /** What shims are told to exec for publishing without ttrpc. Default: a name that nobody has. */
  readonly publishBinary?: string;
  readonly debug?: boolean;
  readonly trace?: StepListener;
}

export const DEFAULT_DIRECTORIES: Directories = { root: "/var/lib/trimaran", state: "/run/trimaran/manager" };

/** A small containerd for one namespace, inside the process that opens it. Disposing ends nothing but the events socket. */
export interface Manager extends AsyncDisposable {
  readonly directories: Directories;
  readonly namespace: string;
  readonly containers: Containers;
  readonly tasks: Tasks;
  readonly events: EventExchange;
  /** FIFOs for a process that the caller is attached to. */
  openStdio(request: StdioRequest): Promise<FifoSet>;
  /** Raw mode for the caller's own terminal, until disposed. */
  rawTerminal(fd: number): Disposable;
}

/** Open the manager on its directories. Makes nothing yet: reading verbs leave no trace. Throws InvalidArgument. */
export function openManager(options: ManagerOptions): Manager {
  const dirs = options.directories ?? DEFAULT_DIRECTORIES;
  const namespace = parseIdentifier("namespace", options.namespace ?? "default");
  const events = new EventExchange();
  const store = new ContainerStore(dirs, namespace);
  const syscalls = once(loadSyscalls);
  const parent = {
    grpcAddress: layout.grpcSocket(dirs),
    ttrpcAddress: layout.ttrpcSocket(dirs),
    publishBinary: options.publishBinary ?? "/nonexistent/trimaran",
    environment: options.environment,
    debug: options.debug ?? false,
  };
  const server = new EventsServer(parent.ttrpcAddress, events);
  const tasks = new Tasks({
    dirs,
    namespace,
    store,
    parent,
    shimDirectories: options.shimDirectories,
    syscalls,
    serveEvents: () => server.ensure(),
    trace: options.trace ?? (() => {}),
  });
  return {
    directories: dirs,
    namespace,
    containers: new Containers(namespace, store, new ImageStore(dirs), readSpecHost),
    tasks,
    events,
    rawTerminal: (fd) => syscalls().rawTerminal(fd),
    openStdio: (request) => FifoSet.open(request, syscalls()),
    [Symbol.asyncDispose]: async () => server[Symbol.asyncDispose](),
  };
}
