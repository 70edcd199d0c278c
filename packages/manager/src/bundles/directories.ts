import { join } from "node:path";

/** Where the manager keeps things. `root` survives a reboot; `state` need not. */
export interface Directories {
  readonly root: string;
  readonly state: string;
}

/** Where the manager keeps things unless it is told. */
export const DEFAULT_DIRECTORIES: Directories = { root: "/var/lib/trimaran", state: "/run/trimaran/manager" };

/** What a bundle is for: a task, or a sandbox that its shim keeps. They never share a folder. */
export type BundleKind = "task" | "sandbox";

const PLUGINS: Readonly<Record<BundleKind, string>> = {
  task: "io.containerd.runtime.v2.task",
  sandbox: "io.containerd.sandbox.controller.v1.shim",
};

/** The layout below the two directories, in one place. containerd's names where containerd has one. */
export const layout = {
  /** One directory of bundles per namespace. */
  allBundles: (dirs: Directories, kind: BundleKind = "task") => join(dirs.state, PLUGINS[kind]),
  allBundleWorks: (dirs: Directories, kind: BundleKind = "task") => join(dirs.root, PLUGINS[kind]),
  bundles: (dirs: Directories, namespace: string, kind: BundleKind = "task") =>
    join(dirs.state, PLUGINS[kind], namespace),
  bundleWorks: (dirs: Directories, namespace: string, kind: BundleKind = "task") =>
    join(dirs.root, PLUGINS[kind], namespace),
  containers: (dirs: Directories, namespace: string) => join(dirs.root, "containers", namespace),
  grpcSocket: (dirs: Directories) => join(dirs.state, "trimaran.sock"),
  ttrpcSocket: (dirs: Directories) => join(dirs.state, "trimaran.sock.ttrpc"),
} as const;
