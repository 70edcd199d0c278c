import { join } from "node:path";

/** The name of the one snapshotter that we have. */
export const SNAPSHOTTER = "overlayfs";

/** Where things are below the root; containerd's names, but for the database. */
export const rootLayout = {
  database: (root: string) => join(root, "io.containerd.metadata.v1.sqlite", "meta.db"),
  content: (root: string) => join(root, "io.containerd.content.v1.content"),
  snapshots: (root: string) => join(root, "io.containerd.snapshotter.v1.overlayfs"),
} as const;
