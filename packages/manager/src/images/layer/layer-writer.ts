import {
  chmodSync,
  chownSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  futimesSync,
  lchownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  openSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../errors/manager-error.ts";
import type { Syscalls } from "../../host/syscalls.ts";
import type { TarEntry } from "../tar/tar-reader.ts";
import {
  boundedParts,
  ensureDirectory,
  LayerError,
  lstatIfThere,
  modelDirectory,
  resolveDirectory,
} from "./layer-root.ts";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
const S_IFMT = { "3": 0o020000, "4": 0o060000, "6": 0o010000 } as const;
const MAX_TIME_S = 2 ** 34 - 1;

/**
 * Unpacks members of one layer into an empty private directory, for overlayfs: `.wh.X` becomes a device 0:0, `.wh..wh..opq` the
 * attribute trusted.overlay.opaque. `lowers` (topmost first) are models for parents that the archive leaves out. File
 * operations are synchronous: a layer has tens of thousands of small ones.
 */
export class LayerWriter {
  readonly #root: string;
  readonly #lowers: readonly string[];
  readonly #libc: Syscalls;
  /** Their times are set at the end, when nothing is made in them any more. */
  readonly #directoryTimes = new Map<string, number>();

  constructor(root: string, lowers: readonly string[], libc: Syscalls) {
    this.#root = root;
    this.#lowers = lowers;
    this.#libc = libc;
  }

  /** Throws LayerError, or the system's error. */
  async add(entry: TarEntry): Promise<void> {
    const parts = boundedParts(entry.name);
    const base = parts.pop();
    if (base === undefined || parts.some(isAufs)) return; // the root itself keeps its mode and owner
    const parent = resolveDirectory(this.#root, parts, (path, missing) => this.#makeParent(path, missing));
    if (base === OPAQUE) this.#libc.lsetxattr(parent, "trusted.overlay.opaque", Buffer.from("y"));
    else if (base.startsWith(WHITEOUT)) this.#whiteOut(entry, parent, base);
    else await this.#create(entry, join(parent, base));
  }

  /** To be called after the last member. */
  finish(): void {
    for (const [path, mtime] of this.#directoryTimes) {
      if (lstatIfThere(path)?.isDirectory()) utimesSync(path, mtime, mtime);
    }
  }

  #makeParent(path: string, parts: readonly string[]): void {
    ensureDirectory(path);
    const model = modelDirectory(this.#lowers, parts);
    if (model === undefined) return;
    chownSync(path, model.stat.uid, model.stat.gid);
    for (const [name, value] of this.#libc.lgetxattrs(model.path)) this.#setXattr(path, name, value, true);
    chmodSync(path, model.stat.mode & 0o7777);
    this.#directoryTimes.set(path, model.stat.mtimeMs / 1000);
  }

  #whiteOut(entry: TarEntry, parent: string, base: string): void {
    const hidden = base.slice(WHITEOUT.length);
    if (isAufs(base)) return;
    if (hidden === "" || hidden === "." || hidden === "..")
      throw new LayerError(`${entry.name}: invalid whiteout name`);
    const path = join(parent, hidden);
    if (lstatIfThere(path) !== undefined) throw new LayerError(`${entry.name}: the same layer has ${hidden}`);
    this.#libc.mknod(path, 0o020000, 0, 0);
    lchownSync(path, entry.uid, entry.gid);
  }

  async #create(entry: TarEntry, path: string): Promise<void> {
    const existing = lstatIfThere(path);
    const merges = entry.type === "5" && existing?.isDirectory();
    if (entry.type === "1") return this.#hardLink(entry, path);
    if (existing !== undefined && !merges) rmSync(path, { recursive: true });
    switch (entry.type) {
      case "0":
      case "7":
        return this.#file(entry, path);
      case "2":
        symlinkSync(entry.linkName, path);
        lchownSync(path, entry.uid, entry.gid);
        this.#setXattrs(entry, path, false);
        lutimesSync(path, time(entry), time(entry));
        return;
      case "3":
      case "4":
      case "6":
        this.#libc.mknod(path, S_IFMT[entry.type] | 0o600, entry.deviceMajor, entry.deviceMinor);
        break;
      case "5":
        if (!merges) mkdirSync(path, { mode: 0o700 });
        this.#directoryTimes.set(path, time(entry));
        break;
      default:
        throw new LayerError(`${entry.name}: members of type ${JSON.stringify(entry.type)} are not supported`);
    }
    chownSync(path, entry.uid, entry.gid);
    this.#setXattrs(entry, path, entry.type === "5");
    chmodSync(path, entry.mode); // after chown, which takes setuid away
    if (entry.type !== "5") utimesSync(path, time(entry), time(entry));
  }

  async #file(entry: TarEntry, path: string): Promise<void> {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const fd = openSync(path, flags, 0o600);
    try {
      for await (const chunk of entry.body()) writeAll(fd, chunk);
      fchownSync(fd, entry.uid, entry.gid);
      this.#setXattrs(entry, path, true);
      fchmodSync(fd, entry.mode);
      futimesSync(fd, time(entry), time(entry));
    } finally {
      closeSync(fd);
    }
  }

  /** The target must be in this layer; its last part is not followed. */
  #hardLink(entry: TarEntry, path: string): void {
    const parts = boundedParts(entry.linkName);
    const base = parts.pop();
    const refuse = () => new LayerError(`${entry.name}: the layer has no ${JSON.stringify(entry.linkName)} to link to`);
    const parent = resolveDirectory(this.#root, parts, () => {
      throw refuse();
    });
    const target = join(parent, base ?? "");
    const found = lstatIfThere(target);
    if (base === undefined || found === undefined || found.isDirectory()) throw refuse();
    if (target === path) return;
    rmSync(path, { recursive: true, force: true });
    linkSync(target, path);
  }

  #setXattrs(entry: TarEntry, path: string, takesUser: boolean): void {
    for (const [name, value] of entry.xattrs) this.#setXattr(path, name, value, takesUser);
  }

  /** `trusted.` is overlayfs's own. A file system without attributes, or without user's on this kind of file, is no error. */
  #setXattr(path: string, name: string, value: Buffer, takesUser: boolean): void {
    if (name.startsWith("trusted.")) return;
    try {
      this.#libc.lsetxattr(path, name, value);
    } catch (error) {
      const ignored = errnoOf(error) === "ENOTSUP" || errnoOf(error) === "EOPNOTSUPP";
      if (ignored || (errnoOf(error) === "EPERM" && name.startsWith("user.") && !takesUser)) return;
      throw error;
    }
  }
}

/** aufs's own bookkeeping, which some old images carry: `.wh..wh.plnk` and the like. */
function isAufs(part: string): boolean {
  return part.startsWith(".wh..wh.") && part !== OPAQUE;
}

function time({ mtime }: TarEntry): number {
  return Math.min(Math.max(mtime, 0), MAX_TIME_S);
}

function writeAll(fd: number, chunk: Uint8Array): void {
  for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
}
