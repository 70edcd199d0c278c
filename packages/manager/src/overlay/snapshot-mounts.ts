import type { Mount } from "../layers/mount/mount.ts";
import { escapeOverlay } from "../layers/mount/overlay-options.ts";

/** Where a snapshot and those below it are. */
export interface SnapshotPlace {
  readonly kind: "active" | "view";
  /** Its own directory, which has `fs`, and `work` if it is active. */
  readonly directory: string;
  /** `fs` directories of its parents, the nearest first. */
  readonly lowers: readonly string[];
}

/**
 * The one mount that shows a snapshot. An overlay only where there is more than one directory to show; one without an upper directory is
 * read-only by itself. `options` are added to overlays. Paths are absolute.
 */
export function snapshotMounts({ kind, directory, lowers }: SnapshotPlace, options: readonly string[]): Mount[] {
  const [top, ...others] = lowers;
  if (top === undefined) return [bind(`${directory}/fs`, kind === "active" ? "rw" : "ro")];
  if (kind === "view" && others.length === 0) return [bind(top, "ro")];
  const own =
    kind === "active"
      ? [`workdir=${escapeOverlay(`${directory}/work`)}`, `upperdir=${escapeOverlay(`${directory}/fs`)}`]
      : [];
  const lower = `lowerdir=${lowers.map(escapeOverlay).join(":")}`;
  return [{ type: "overlay", source: "overlay", target: "", options: [...own, lower, ...options] }];
}

function bind(source: string, access: "ro" | "rw"): Mount {
  return { type: "bind", source, target: "", options: [access, "rbind"] };
}
