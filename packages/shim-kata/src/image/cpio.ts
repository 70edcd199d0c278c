/** One entry of an archive: a directory without content, or a file. */
export interface CpioEntry {
  /** Without a slash in front. */
  readonly path: string;
  /** Type and permissions, as in `stat`. */
  readonly mode: number;
  readonly content?: Buffer;
}

export const DIRECTORY_MODE = 0o40755;
export const FILE_MODE = 0o100644;
export const PROGRAM_MODE = 0o100755;

/**
 * A cpio archive of the "newc" format, as the kernel takes for an initramfs: owned by root, without times, in the order given, so that equal
 * contents are equal bytes. Source: Documentation/driver-api/early-userspace/buffer-format.rst of the kernel.
 */
export function encodeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) => encodeEntry(entry, index + 1));
  return Buffer.concat([...parts, ...encodeEntry({ path: "TRAILER!!!", mode: 0 }, 0)]);
}

function encodeEntry({ path, mode, content = Buffer.alloc(0) }: CpioEntry, inode: number): Buffer[] {
  const name = Buffer.from(`${path}\0`);
  const links = mode === 0 ? 1 : (mode & 0o170000) === 0o040000 ? 2 : 1;
  const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`);
  return [header, name, padding(header.length + name.length), content, padding(content.length)];
}

function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4);
}
