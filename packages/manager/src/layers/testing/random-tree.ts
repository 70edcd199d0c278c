import {
  chmodSync,
  chownSync,
  lchownSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Syscalls } from "../../host/syscalls.ts";

type Random = (limit: number) => number;

const NAMES = ["a", "b", "c", "d", "é", "wh", "long-".repeat(30)];
const CAPABILITY = Buffer.from("0100000200040000000000000000000000000000", "hex");

/** Change a tree at random: make, replace, remove, link, chmod, chown, touch, of every kind of file. */
export function changeTree(root: string, random: Random, steps: number, libc: Syscalls): void {
  for (let step = 0; step < steps; step++) {
    const directory = pickDirectory(root, random);
    const path = join(directory, NAMES[random(NAMES.length)] ?? "a");
    const change = CHANGES[random(CHANGES.length)];
    change?.(path, random, { root, libc });
  }
}

interface World {
  readonly root: string;
  readonly libc: Syscalls;
}
type Change = (path: string, random: Random, world: World) => void;

const there = (path: string) => lstatSync(path, { throwIfNoEntry: false });

/** Something new in the place of whatever is there. */
function replace(make: Change): Change {
  return (path, random, world) => {
    rmSync(path, { recursive: true, force: true });
    make(path, random, world);
    finish(path, random);
  };
}

function finish(path: string, random: Random): void {
  lchownSync(path, random(3), random(3));
  const stat = lstatSync(path);
  if (!stat.isSymbolicLink()) chmodSync(path, [0o644, 0o755, 0o4755, 0o1777, 0o600][random(5)] ?? 0o644);
  const seconds = 1_000_000_000 + random(3) + (random(2) === 0 ? 0.5 : 0);
  lutimesSync(path, seconds, seconds);
}

const CHANGES: readonly Change[] = [
  replace((path, random) => writeFileSync(path, Buffer.alloc(random(3) * 700, 65 + random(26)))),
  replace((path, random) => writeFileSync(path, Buffer.alloc(8, 65 + random(26)))),
  replace((path) => mkdirSync(path)),
  replace((path) => mkdirSync(path)),
  replace((path, random) => symlinkSync(NAMES[random(NAMES.length)] ?? "a", path)),
  replace((path, _random, { libc }) => libc.mkfifo(path, 0o600)),
  replace((path, random, { libc }) => libc.mknod(path, 0o020600, 1 + random(3), 300)),
  (path) => rmSync(path, { recursive: true, force: true }),
  (path, random, { root }) => {
    const target = join(pickDirectory(root, random), NAMES[random(NAMES.length)] ?? "a");
    if (there(target)?.isFile() !== true || there(path) !== undefined) return;
    linkSync(target, path);
  },
  (path, random) => {
    if (there(path)?.isDirectory() === true) chownSync(path, random(3), random(3));
  },
  (path, _random, { libc }) => {
    if (there(path)?.isFile() === true) libc.lsetxattr(path, "security.capability", CAPABILITY);
  },
  (path, random) => {
    if (there(path) !== undefined) finish(path, random);
  },
];

function pickDirectory(root: string, random: Random): string {
  const all = [root];
  for (const directory of all) {
    if (all.length > 40) break;
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (entry.isDirectory()) all.push(join(directory, entry.name));
    }
  }
  return all[random(all.length)] ?? root;
}

/** Everything that a layer keeps of a tree, one line per name, in order. Directory times are left out if a test says so. */
export function describeTree(root: string, libc: Syscalls): string[] {
  const lines: string[] = [];
  const inodes = new Map<number, string>();
  const visit = (path: string, name: string) => {
    const stat = lstatSync(path);
    const seconds = Math.floor(stat.mtimeMs / 1000);
    const fields = [name, stat.mode.toString(8), stat.uid, stat.gid, stat.rdev];
    if (stat.isDirectory()) {
      lines.push(fields.join(" "));
      for (const child of readdirSync(path).sort()) visit(join(path, child), `${name}/${child}`);
      return;
    }
    const first = inodes.get(stat.ino) ?? name;
    inodes.set(stat.ino, first);
    const content = stat.isFile() ? readFileSync(path, "latin1") : stat.isSymbolicLink() ? readlinkSync(path) : "";
    const capability = libc.lgetxattrs(path).get("security.capability")?.toString("hex") ?? "";
    lines.push([...fields, seconds, first, content, capability].join(" "));
  };
  for (const child of readdirSync(root).sort()) visit(join(root, child), child);
  return lines;
}
