import { ATTR } from "../mount/mount.ts";
import type { Spec } from "../spec/spec.ts";
import { AT, F, MOUNT, MS, makedev, O, S } from "./constants.ts";
import type { OwnMounts } from "./mounts.ts";
import { CHECK, MISSING } from "./opcodes.ts";
import type { Operand, ProgramBuilder, Register } from "./program.ts";
import { check, cloneTree, createFileSystem, resolve, setAttributes } from "./tree.ts";

/** What is put over masked paths: a read-only /dev/null of the host's, and an empty read-only tmpfs. Detached. */
export interface MaskTrees {
  readonly file: Register;
  readonly directory: Register;
}

const FLAGS = ATTR.rdonly | ATTR.nosuid | ATTR.nodev | ATTR.noexec;

/** While the host's /dev is in reach. */
export function prepareMasks(b: ProgramBuilder, spec: Spec): MaskTrees | undefined {
  if (spec.linux.maskedPaths.length === 0) return undefined;
  b.field = "linux.maskedPaths";
  const file = cloneTree(b, "/dev/null", false);
  check(b, file, CHECK.type, S.IFCHR, { action: "device type" });
  check(b, file, CHECK.rdev, makedev(1, 3), { action: "device number" });
  setAttributes(b, file, { set: ATTR.rdonly | ATTR.nosuid | ATTR.noexec, clear: 0, propagation: MS.PRIVATE });
  const parameters = ["nr_blocks", "nr_inodes"].map((key) => ({ key, value: "1" }));
  const directory = createFileSystem(b, "tmpfs", [{ key: "source", value: "tmpfs" }, ...parameters], FLAGS);
  return { file, directory };
}

/** What the kernel's own files are: saves trying. A path that is here but of the other kind makes the start fail, loudly. */
const KNOWN: ReadonlyMap<string, keyof MaskTrees> = new Map<string, keyof MaskTrees>([
  ["/proc/acpi", "directory"],
  ["/proc/asound", "directory"],
  ["/proc/scsi", "directory"],
  ["/sys/firmware", "directory"],
  ["/sys/devices/virtual/powercap", "directory"],
  ["/proc/interrupts", "file"],
  ["/proc/kcore", "file"],
  ["/proc/keys", "file"],
  ["/proc/latency_stats", "file"],
  ["/proc/timer_list", "file"],
  ["/proc/timer_stats", "file"],
  ["/proc/sched_debug", "file"],
]);

interface Place {
  readonly directory: Operand;
  readonly name: string;
  readonly flags: number;
}

/**
 * Cover each masked path that exists. Below our own /proc and /sys the path is walked by the kernel from that mount's fd: the
 * image has no part in it; elsewhere it is resolved inside the rootfs first.
 */
export function maskPaths(
  b: ProgramBuilder,
  spec: Spec,
  root: Register,
  own: OwnMounts,
  masks: MaskTrees | undefined,
): void {
  if (masks === undefined) return;
  const masters = { file: masks.file, directory: masks.directory };
  b.field = "linux.maskedPaths";
  const copy = (tree: Register) => b.call("fcntl", [tree, F.DUPFD_CLOEXEC, 0]);
  const current = { file: copy(masks.file), directory: copy(masks.directory) };
  const remaining = (kind: keyof MaskTrees, from: number) =>
    spec.linux.maskedPaths.slice(from).some((path) => (KNOWN.get(path) ?? kind) === kind);
  spec.linux.maskedPaths.forEach((path, i) => {
    b.field = `linux.maskedPaths[${i}] ${JSON.stringify(path)}`;
    const known = KNOWN.get(path);
    const kinds: readonly (keyof MaskTrees)[] = known === undefined ? ["file", "directory"] : [known];
    withPlace(b, root, own, path, (place) => {
      const done: number[] = [];
      for (const kind of kinds) {
        const isLast = kind === kinds.at(-1);
        const moved = cover(b, current[kind], place, isLast ? ["ENOENT", "ENOTDIR"] : ["ENOENT", "EINVAL"]);
        if (remaining(kind, i + 1)) {
          const flags = MOUNT.OPEN_TREE_CLONE | O.CLOEXEC | AT.EMPTY_PATH;
          const cloned = b.sys("open_tree", [masters[kind], b.data.string(""), flags], {
            to: current[kind],
            action: "clone mask",
          });
          b.skipOnError(moved);
          if (!isLast) done.push(cloned);
        } else if (!isLast) done.push(moved);
      }
      for (const step of done) b.skipOnSuccess(step);
    });
  });
}

function cover(
  b: ProgramBuilder,
  tree: Operand,
  { directory, name, flags }: Place,
  tolerate: readonly string[],
): number {
  const from = b.data.string("");
  const all = flags | MOUNT.MOVE_F_EMPTY_PATH;
  return b.sys("move_mount", [tree, from, directory, b.data.string(name), all], { tolerate });
}

/** Call `use` with where the path is; what it writes is skipped if the path is missing. */
function withPlace(b: ProgramBuilder, root: Register, own: OwnMounts, path: string, use: (place: Place) => void): void {
  const kernel = kernelPlace(own, path);
  if (kernel !== undefined) {
    use(kernel);
    return;
  }
  const target = resolve(b, root, path, MISSING.fail, { tolerate: ["ENOENT", "ENOTDIR"] });
  const resolved = b.next - 1;
  use({ directory: target, name: "", flags: MOUNT.MOVE_T_EMPTY_PATH });
  b.skipOnError(resolved);
  b.release(target);
}

/** A path in our own /proc or /sys, with nothing in it that depends on who looks. */
function kernelPlace(own: OwnMounts, path: string): Place | undefined {
  const [, top, ...rest] = path.split("/");
  const directory = own.fds.get(`/${top}`);
  const isPlain = rest.length > 0 && rest.every((part) => !/^(|\.\.?|self|thread-self|[0-9]+)$/.test(part));
  if (directory === undefined || (top !== "proc" && top !== "sys") || !isPlain) return undefined;
  return { directory, name: rest.join("/"), flags: 0 };
}

/** Each read-only path becomes a read-only clone of itself, with the flags it had, over itself. */
export function protectPaths(b: ProgramBuilder, spec: Spec, root: Register, own: OwnMounts): void {
  spec.linux.readonlyPaths.forEach((path, i) => {
    b.field = `linux.readonlyPaths[${i}] ${JSON.stringify(path)}`;
    withPlace(b, root, own, path, (place) => {
      const { directory, name, flags } = place;
      const clone =
        MOUNT.OPEN_TREE_CLONE | O.CLOEXEC | AT.RECURSIVE | (name === "" ? AT.EMPTY_PATH : AT.SYMLINK_NOFOLLOW);
      const tree = b.register();
      const tolerate = ["ENOENT", "ENOTDIR"];
      const opened = b.sys("open_tree", [directory, b.data.string(name), clone], { to: tree, tolerate });
      setAttributes(b, tree, { set: ATTR.rdonly, clear: 0 });
      const all = flags | MOUNT.MOVE_F_EMPTY_PATH;
      b.sys("move_mount", [tree, b.data.string(""), directory, b.data.string(name), all]);
      b.skipOnError(opened);
      b.release(tree);
    });
  });
}
