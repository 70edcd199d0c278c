import { type Directories, layout } from "../bundles/directories.ts";
import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { listens } from "../host/listens.ts";
import { once } from "../host/once.ts";
import { loadSyscalls } from "../host/syscalls.ts";
import type { ContainerNetworks } from "../network/container-networks.ts";
import type { StepListener } from "../tasks/trace.ts";
import type { ManagerClient } from "./manager-client.ts";

/** How to reach a manager, or be one. */
export interface ClientOptions {
  readonly directories: Directories;
  readonly namespace: string;
  /** The daemon's socket. Default: the one in the state directory if somebody listens there, else no daemon. */
  readonly address?: string | undefined;
  /** Whether anything may be changed; without a daemon this takes part in a lock. */
  readonly access: "read" | "write";
  /** Where shims are looked for without a daemon, in this order. */
  readonly shimDirectories: readonly string[];
  /** Given to shims and network plugins. */
  readonly environment: NodeJS.ProcessEnv;
  /** What shims are told to exec for publishing without ttrpc. */
  readonly publishBinary: string;
  readonly debug: boolean;
  readonly version: string;
  /** Told how long the steps of making and ending tasks take, without a daemon. */
  readonly trace?: StepListener;
}

const CNI = {
  configDirectory: "/etc/cni/net.d",
  plugins: ["/usr/lib/cni", "/opt/cni/bin"],
  timeoutMs: 60_000,
} as const;

/**
 * Open a client: over the socket of a daemon where one is asked for or listens at the default address, else with the manager in this
 * process. Throws Unavailable if nobody listens at an address that was asked for, FailedPrecondition if the directories are a
 * daemon's that listens elsewhere.
 */
export async function openClient(options: ClientOptions): Promise<ManagerClient> {
  const { directories } = options;
  const namespace = parseIdentifier("namespace", options.namespace);
  const address = await findDaemon(options);
  await using undo = new AsyncDisposableStack();
  const services =
    address === undefined
      ? undo.use(await (await import("../embedded/open-embedded.ts")).openEmbedded({ ...options, namespace })).services
      : undo.use((await import("../grpc/grpc-client.ts")).connectServices(address, namespace));
  const syscalls = once(loadSyscalls);
  const networks = once(() => loadNetworks(options));
  const owned = undo.move();
  return {
    namespace,
    services,
    directories,
    address,
    syscalls,
    networks,
    openStdio: async (request) => (await import("../stdio/fifo-set.ts")).FifoSet.open(request, syscalls()),
    rawTerminal: (fd) => syscalls().rawTerminal(fd),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

async function findDaemon({ address, directories }: ClientOptions): Promise<string | undefined> {
  const path = address ?? layout.grpcSocket(directories);
  if (await listens(path)) return path;
  if (address === undefined) return undefined;
  throw new ManagerError(Code.Unavailable, `--address ${address}: nobody listens there`, {
    hint: `trimaran daemon --address ${address}`,
  });
}

async function loadNetworks({ directories, environment }: ClientOptions): Promise<ContainerNetworks> {
  const [{ ContainerNetworks: Networks }, { loadNamespaceLibc }] = await Promise.all([
    import("../network/container-networks.ts"),
    import("../network/network-namespace.ts"),
  ]);
  return new Networks({
    state: directories.state,
    configDirectory: CNI.configDirectory,
    cni: { pluginDirectories: CNI.plugins, environment, timeoutMs: CNI.timeoutMs },
    libc: once(loadNamespaceLibc),
  });
}
