import { closeSync, constants, fstatSync, lstatSync, openSync, readlinkSync, readSync, type Stats } from "node:fs";
import type { LayerLibc } from "../libc.ts";
import { type ByteString, toFsPath, toText } from "../tar/byte-string.ts";

const CAPABILITY = "security.capability";
const CHUNK_BYTES = 1 << 18;
/** Not waiting for a FIFO that somebody may put in the place of a file. */
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** The file capabilities of a path, if any. */
export function readCapability(libc: LayerLibc, path: ByteString, stat: Stats): Buffer | undefined {
  return stat.isFile() ? libc.getXattr(path, CAPABILITY) : undefined;
}

/** Identity of an inode. The number itself may be above 2^53: overlayfs puts the layer into its high bits. */
export function inodeKey(path: ByteString): string {
  const { dev, ino } = lstatSync(toFsPath(path), { bigint: true });
  return `${dev}:${ino}`;
}

/** A regular file, open for reading. The owner disposes of it. */
export class TreeFile implements Disposable {
  readonly stat: Stats;
  readonly #fd: number;

  /** Throws the system's error, or if it is not a regular file any more. */
  constructor(path: ByteString) {
    this.#fd = openSync(toFsPath(path), FLAGS);
    this.stat = fstatSync(this.#fd);
    if (this.stat.isFile()) return;
    closeSync(this.#fd);
    throw new Error(`${toText(path)}: was a file a moment ago`);
  }

  /** Exactly as many bytes as it had when it was opened: what has been cut off since is zeros, what was added is left out. */
  *chunks(): Generator<Buffer, void> {
    for (let left = this.stat.size; left > 0; ) {
      const chunk = Buffer.allocUnsafeSlow(Math.min(left, CHUNK_BYTES));
      const length = readSync(this.#fd, chunk, 0, chunk.length, null);
      if (length === 0) chunk.fill(0);
      const part = length === 0 ? chunk : chunk.subarray(0, length);
      left -= part.length;
      yield part;
    }
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }
}

/** Whether two files are the same to a layer: type, mode, owner, device, capabilities, and for all but directories size, time and perhaps content. */
export function isSameFile(libc: LayerLibc, left: [ByteString, Stats], right: [ByteString, Stats]): boolean {
  const [[leftPath, a], [rightPath, b]] = [left, right];
  if (a.mode !== b.mode || a.uid !== b.uid || a.gid !== b.gid || a.rdev !== b.rdev) return false;
  if (!a.isDirectory() && (a.size !== b.size || a.mtimeMs !== b.mtimeMs)) return false;
  if (a.isSymbolicLink()) return readLink(leftPath) === readLink(rightPath);
  if (!a.isFile()) return true;
  const [c, d] = [readCapability(libc, leftPath, a), readCapability(libc, rightPath, b)];
  if (!(c ?? Buffer.alloc(0)).equals(d ?? Buffer.alloc(0))) return false;
  // A time of whole seconds has been through an archive: it says little, so the content has to.
  return a.mtimeMs % 1000 !== 0 || hasSameContent(leftPath, rightPath);
}

/** The target of a symbolic link. */
export function readLink(path: ByteString): ByteString {
  return readlinkSync(toFsPath(path), "latin1");
}

function hasSameContent(left: ByteString, right: ByteString): boolean {
  using a = new TreeFile(left);
  using b = new TreeFile(right);
  if (a.stat.size !== b.stat.size) return false;
  const [ours, theirs] = [a.chunks(), b.chunks()];
  for (const chunk of ours) {
    const other = theirs.next();
    if (other.done || !chunk.equals(other.value)) return false;
  }
  return true;
}
