import { closeSync, constants, mkdirSync, openSync } from "node:fs";
import { join } from "node:path";
import type { LayerLibc } from "../libc.ts";
import type { Mount } from "./mount.ts";
import { isBind, MS_RDONLY, MS_REMOUNT_READONLY_BIND, toMountFlags } from "./mount-flags.ts";
import { escapeOverlay, type OverlayDirectories, parseOverlayOptions } from "./overlay-options.ts";

/** How to go back after a change of the working directory. */
interface Chdir {
  readonly libc: LayerLibc;
  readonly rootFd: number;
}

/**
 * Mount one after the other on `target` (made here, mode 0755), in the calling thread's mount table. Read only if asked for: an overlay's upper
 * directory then becomes its topmost lower one, so that it can be in use elsewhere. Throws the system's error.
 */
export function mountAll(mounts: readonly Mount[], target: string, isReadOnly: boolean, thread: Chdir): void {
  mkdirSync(target, { recursive: true, mode: 0o755 });
  for (const mount of mounts) {
    const place = join(target, join("/", mount.target));
    if (mount.type === "overlay") mountOverlay(mount, place, isReadOnly, thread);
    else mountOther(mount, place, isReadOnly, thread.libc);
  }
}

function mountOther(mount: Mount, target: string, isReadOnly: boolean, libc: LayerLibc): void {
  const { flags: given, data } = toMountFlags(mount.type === "bind" ? ["bind", ...mount.options] : mount.options);
  const flags = isReadOnly ? given | MS_RDONLY : given;
  libc.mount(mount.source, target, mount.type, flags, data.join(","));
  // The kernel ignores "ro" when a bind mount is made; it takes a second call.
  if (isBind(flags) && (flags & MS_RDONLY) !== 0) {
    libc.mount("", target, "", MS_REMOUNT_READONLY_BIND | (flags & ~0x4000), "");
  }
}

/** All options have one page: a long chain only fits if its directories are named relative to the one that they have in common. */
function mountOverlay(mount: Mount, target: string, isReadOnly: boolean, { libc, rootFd }: Chdir): void {
  const parsed = parseOverlayOptions(mount);
  const directories = isReadOnly ? withoutUpper(parsed) : parsed;
  const base = commonDirectory(
    [directories.upper, directories.work, ...directories.lowers].filter((path) => path !== undefined),
  );
  const { flags, data } = toMountFlags(directories.others);
  const fd = openSync(base, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    libc.fchdir(fd);
    libc.mount(
      "overlay",
      target,
      "overlay",
      isReadOnly ? flags | MS_RDONLY : flags,
      [...data, ...encode(directories, base)].join(","),
    );
  } finally {
    libc.fchdir(rootFd);
    closeSync(fd);
  }
}

function withoutUpper({ upper, lowers, others }: OverlayDirectories): OverlayDirectories {
  const layers = upper === undefined ? lowers : [upper, ...lowers];
  return { upper: undefined, work: undefined, lowers: layers, others };
}

function encode({ upper, work, lowers }: OverlayDirectories, base: string): string[] {
  const relative = (path: string) =>
    escapeOverlay(path === base ? "." : path.slice(base === "/" ? 1 : base.length + 1));
  return [
    ...(upper === undefined ? [] : [`upperdir=${relative(upper)}`]),
    ...(work === undefined ? [] : [`workdir=${relative(work)}`]),
    `lowerdir=${lowers.map(relative).join(":")}`,
  ];
}

/** The deepest directory that all absolute paths are in, or are. */
function commonDirectory(paths: readonly string[]): string {
  const [first = "/", ...others] = paths.map((path) => path.split("/"));
  const parts = typeof first === "string" ? [] : first;
  let length = parts.length;
  for (const other of others) {
    while (!parts.slice(0, length).every((part, index) => part === other[index])) length--;
  }
  return parts.slice(0, length).join("/") || "/";
}
