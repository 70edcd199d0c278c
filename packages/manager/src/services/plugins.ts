import type { containerd, Init } from "@trimaran/proto";

/** What clients see of one part of the manager. */
export type Plugin = Init<containerd.services.introspection.v1.Plugin> & { readonly type: string; readonly id: string };

/** What is not the same for every manager. */
export interface PluginOptions {
  /** Directory of the overlay snapshotter. */
  readonly snapshotterRoot: string;
  /** `remap-ids`, `only-remap-ids`. */
  readonly snapshotterCapabilities: readonly string[];
}

/** The type under which a snapshotter is looked for by its name. */
const SNAPSHOTTER = "io.containerd.snapshotter.v1";
/** The type and id under which `ctr plugins inspect-runtime` looks for runtimes. */
export const RUNTIME_PLUGIN = { type: "io.containerd.runtime.v2", id: "task" } as const;

const SERVICES = [
  "containers content diff events healthcheck images introspection leases",
  "namespaces sandbox-controllers sandboxes snapshots streaming tasks transfer version",
].flatMap((line) => line.split(" "));

/** Go's names of what Node calls otherwise. */
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = { x64: "amd64", ia32: "386" };

/** The manager's parts under containerd's names for them, in the order in which they build upon each other. */
export function managerPlugins({ snapshotterRoot, snapshotterCapabilities }: PluginOptions): Plugin[] {
  const platforms = [{ os: "linux", architecture: ARCHITECTURES[process.arch] ?? process.arch }];
  return [
    { type: "io.containerd.event.v1", id: "exchange" },
    { type: "io.containerd.content.v1", id: "content" },
    {
      type: SNAPSHOTTER,
      id: "overlayfs",
      platforms,
      exports: { root: snapshotterRoot },
      capabilities: snapshotterCapabilities,
    },
    { type: "io.containerd.metadata.v1", id: "sqlite", requires: ["io.containerd.content.v1", SNAPSHOTTER] },
    { type: "io.containerd.gc.v1", id: "scheduler", requires: ["io.containerd.metadata.v1"] },
    { type: "io.containerd.differ.v1", id: "walking", platforms, requires: ["io.containerd.metadata.v1"] },
    { ...RUNTIME_PLUGIN, platforms, requires: ["io.containerd.event.v1", "io.containerd.metadata.v1"] },
    { type: "io.containerd.sandbox.store.v1", id: "local", requires: ["io.containerd.metadata.v1"] },
    { type: "io.containerd.sandbox.controller.v1", id: "shim", requires: ["io.containerd.event.v1"] },
    { type: "io.containerd.streaming.v1", id: "manager" },
    { type: "io.containerd.transfer.v1", id: "local", platforms, requires: ["io.containerd.metadata.v1"] },
    ...SERVICES.map((id) => ({ type: "io.containerd.grpc.v1", id })),
  ];
}
