/** A file of an initramfs. Folders above it are made; `path` is relative to the root. */
export interface CpioFile {
  readonly path: string;
  readonly data: Uint8Array;
  /** Permission bits. Default: 0o644. */
  readonly mode?: number;
}

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

/** An initramfs of regular files, in cpio's "newc" form. Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst. */
export function encodeCpio(files: readonly CpioFile[]): Buffer {
  const folders = new Set(files.flatMap(({ path }) => foldersAbove(path)));
  const entries = [
    ...[...folders].map((path) => ({ path, mode: S_IFDIR | 0o755, data: new Uint8Array() })),
    ...files.map(({ path, mode = 0o644, data }) => ({ path, mode: S_IFREG | mode, data })),
    { path: "TRAILER!!!", mode: 0, data: new Uint8Array() },
  ];
  return Buffer.concat(entries.flatMap((entry, index) => encodeEntry(entry, index + 1)));
}

function foldersAbove(path: string): string[] {
  const parts = path.split("/").slice(0, -1);
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

function encodeEntry(entry: { path: string; mode: number; data: Uint8Array }, inode: number): Uint8Array[] {
  const name = Buffer.from(`${entry.path}\0`);
  const links = 1;
  // inode, mode, uid, gid, links, mtime, size, device (2), rdev (2), length of the name, checksum
  const fields = [inode, entry.mode, 0, 0, links, 0, entry.data.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
  return [header, name, padding(header.length + name.length), entry.data, padding(entry.data.length)];
}

function padding(length: number): Uint8Array {
  return new Uint8Array((4 - (length % 4)) % 4);
}
