import type { Mount } from "./mount.ts";
import { isBind, MS_RDONLY, toMountFlags } from "./mount-flags.ts";
import { parseOverlayOptions } from "./overlay-options.ts";

/** Where a layer is unpacked to. */
export type ApplyTarget =
  /** An overlay's upper directory, itself: nothing is mounted, whiteouts are overlayfs's. */
  | { readonly kind: "upper"; readonly directory: string; readonly lowers: readonly string[] }
  /** What a bind mount shows. */
  | { readonly kind: "directory"; readonly directory: string }
  /** To be mounted first. */
  | { readonly kind: "mounts"; readonly mounts: readonly Mount[] };

/** What mounts mean for Apply. Throws InvalidArgument. */
export function toApplyTarget(mounts: readonly Mount[]): ApplyTarget {
  const [only, ...more] = mounts;
  if (only === undefined || more.length > 0 || only.target !== "") return { kind: "mounts", mounts };
  const { flags } = toMountFlags(only.options);
  if ((flags & MS_RDONLY) !== 0) return { kind: "mounts", mounts };
  if (only.type === "bind" || isBind(flags)) return { kind: "directory", directory: only.source };
  if (only.type !== "overlay") return { kind: "mounts", mounts };
  const { upper, lowers } = parseOverlayOptions(only);
  return upper === undefined ? { kind: "mounts", mounts } : { kind: "upper", directory: upper, lowers };
}
