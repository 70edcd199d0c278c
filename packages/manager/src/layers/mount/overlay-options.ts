import { Code, ManagerError } from "../../errors/manager-error.ts";
import type { Mount } from "./mount.ts";

/** The directories of an overlay mount, lower ones topmost first, and its other options. */
export interface OverlayDirectories {
  readonly upper: string | undefined;
  readonly work: string | undefined;
  readonly lowers: readonly string[];
  readonly others: readonly string[];
}

/** Take the options of an overlay mount apart. Throws InvalidArgument if it has no lowerdir. */
export function parseOverlayOptions({ options }: Mount): OverlayDirectories {
  const optionOf = (key: string) => options.findLast((option) => option.startsWith(`${key}=`))?.slice(key.length + 1);
  const lower = optionOf("lowerdir");
  if (lower === undefined || lower === "") {
    throw new ManagerError(Code.InvalidArgument, "mounts: an overlay without lowerdir");
  }
  return {
    upper: optionOf("upperdir"),
    work: optionOf("workdir"),
    lowers: splitLowers(lower),
    others: options.filter((option) => !/^(lowerdir|upperdir|workdir)=/.test(option)),
  };
}

/** A list of directories separated by colons, where `\:` is a colon and `\\` a backslash of a name. */
function splitLowers(list: string): string[] {
  return (list.match(/(?:\\.|[^:\\])+/gs) ?? []).map((part) => part.replace(/\\(.)/gs, "$1"));
}

/** A name for overlay's option string: its comma and colon are not separators. */
export function escapeOverlay(path: string): string {
  return path.replace(/[\\:,]/g, "\\$&");
}
