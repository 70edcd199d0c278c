import { join } from "node:path";
import type { GuestSources } from "./contents.ts";

/** The sources of an installation: `libraryDirectory` is PREFIX/lib/trimaran, or build/lib/trimaran of a checkout; `node` is its Node. */
export function installedSources(libraryDirectory: string, node: string): GuestSources {
  return { node, directory: join(libraryDirectory, "guest"), busybox: "/bin/busybox" };
}
