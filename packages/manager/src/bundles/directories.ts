import { join } from "node:path";

/** Where the manager keeps things. `root` survives a reboot; `state` need not. */
export interface Directories {
  readonly root: string;
  readonly state: string;
}

/** Where the manager keeps things unless it is told. */
export const DEFAULT_DIRECTORIES: Directories = { root: "/var/lib/trimaran", state: "/run/trimaran/manager" };

const TASK_PLUGIN = "io.containerd.runtime.v2.task";

/** The layout below the two directories, in one place. containerd's names where containerd has one. */
export const layout = {
  /** One directory of bundles per namespace. */
  allBundles: (dirs: Directories) => join(dirs.state, TASK_PLUGIN),
  allBundleWorks: (dirs: Directories) => join(dirs.root, TASK_PLUGIN),
  bundles: (dirs: Directories, namespace: string) => join(dirs.state, TASK_PLUGIN, namespace),
  bundleWorks: (dirs: Directories, namespace: string) => join(dirs.root, TASK_PLUGIN, namespace),
  containers: (dirs: Directories, namespace: string) => join(dirs.root, "containers", namespace),
  grpcSocket: (dirs: Directories) => join(dirs.state, "trimaran.sock"),
  ttrpcSocket: (dirs: Directories) => join(dirs.state, "trimaran.sock.ttrpc"),
} as const;
