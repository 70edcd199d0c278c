import { lstatSync, type Stats } from "node:fs";
import { errnoOf } from "../../errors/manager-error.ts";
import type { LayerLibc } from "../libc.ts";
import { type ByteString, toFsPath } from "../tar/byte-string.ts";
import { encodeTarHeader, type TarHeaderFields, tarEnd, tarPadding } from "../tar/tar-writer.ts";
import type { TreeChange } from "./tree-changes.ts";
import { inodeKey, readCapability, readLink, TreeFile } from "./tree-file.ts";

/** How changes become an archive. */
export interface ChangeArchiveOptions {
  readonly libc: LayerLibc;
  /** Root of the newer tree in what the calling thread sees, without a trailing slash. */
  readonly root: ByteString;
  /** Seconds since 1970: no time in the archive is later. */
  readonly latestSeconds: number | undefined;
}

/** A file with more than one name: where its content is in the archive, or the unchanged names met before. */
type Inode = { readonly source: ByteString } | { readonly unchanged: readonly ByteString[] };

/**
 * A layer of the changes of a tree, as chunks of a PAX tar. Directories above a change are in it, deletions are `.wh.NAME`, further
 * names of an inode are hard links, of the attributes only capabilities are kept.
 */
export class ChangeArchive {
  readonly #options: ChangeArchiveOptions;
  readonly #directories = new Set<ByteString>();
  readonly #inodes = new Map<string, Inode>();

  constructor(options: ChangeArchiveOptions) {
    this.#options = options;
  }

  /** The whole archive. */
  *encode(changes: Iterable<TreeChange>): Generator<Buffer, void> {
    for (const change of changes) {
      try {
        if (change.kind === "deleted") yield* this.#deletion(change.path);
        else yield* this.#change(change.path, change.stat, change.kind === "same");
      } catch (error) {
        if (errnoOf(error) !== "ENOENT") throw error; // gone before its header was written
      }
    }
    yield tarEnd();
  }

  *#deletion(path: ByteString): Generator<Buffer, void> {
    yield* this.#parents(path);
    const slash = path.lastIndexOf("/") + 1;
    const name = `${path.slice(0, slash)}.wh.${path.slice(slash)}`;
    yield encodeTarHeader({ name, type: "0", mode: 0, mtimeSeconds: this.#options.latestSeconds ?? 0 });
  }

  *#change(path: ByteString, stat: Stats, isUnchanged: boolean): Generator<Buffer, void> {
    if (stat.isDirectory() || stat.nlink < 2) {
      yield* this.#parents(path);
      return yield* this.#entry(path, stat);
    }
    const key = inodeKey(this.#path(path));
    const known = this.#inodes.get(key);
    if (known !== undefined && "source" in known) return yield* this.#link(path, stat, known.source);
    const unchanged = known?.unchanged ?? [];
    if (isUnchanged) {
      this.#inodes.set(key, { unchanged: [...unchanged, path] });
      return;
    }
    yield* this.#parents(path);
    yield* this.#entry(path, stat);
    this.#inodes.set(key, { source: path });
    for (const other of unchanged) yield* this.#link(other, stat, path); // they stay names of one file
  }

  *#link(path: ByteString, stat: Stats, source: ByteString): Generator<Buffer, void> {
    yield* this.#parents(path);
    yield encodeTarHeader({ ...this.#fields(path, stat), type: "1", linkName: source });
  }

  *#parents(path: ByteString): Generator<Buffer, void> {
    for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
      const parent = path.slice(0, at);
      if (!this.#directories.has(parent)) yield* this.#entry(parent, lstatSync(toFsPath(this.#path(parent))));
    }
  }

  *#entry(path: ByteString, stat: Stats): Generator<Buffer, void> {
    const fields = this.#fields(path, stat);
    if (stat.isFile()) return yield* this.#file(path, fields);
    if (stat.isDirectory()) {
      this.#directories.add(path);
      yield encodeTarHeader({ ...fields, name: `${path}/`, type: "5" });
    } else if (stat.isSymbolicLink()) {
      yield encodeTarHeader({ ...fields, type: "2", linkName: readLink(this.#path(path)) });
    } else {
      const type = stat.isFIFO() ? "6" : stat.isBlockDevice() ? "4" : "3";
      yield encodeTarHeader({ ...fields, type, ...toDevice(stat.rdev) });
    }
  }

  *#file(path: ByteString, fields: TarHeaderFields): Generator<Buffer, void> {
    using file = new TreeFile(this.#path(path));
    const capability = readCapability(this.#options.libc, this.#path(path), file.stat);
    const xattrs = capability === undefined ? {} : { xattrs: new Map([["security.capability", capability]]) };
    const sizeBytes = file.stat.size;
    yield encodeTarHeader({ ...fields, sizeBytes, ...xattrs });
    yield* file.chunks();
    yield tarPadding(sizeBytes);
  }

  #fields(path: ByteString, { mode, uid, gid, mtimeMs }: Stats): TarHeaderFields {
    const seconds = Math.floor(mtimeMs / 1000);
    const mtimeSeconds = Math.min(seconds, this.#options.latestSeconds ?? seconds);
    return { name: path, type: "0", mode: mode & 0o7777, uid, gid, mtimeSeconds };
  }

  #path(path: ByteString): ByteString {
    return `${this.#options.root}/${path}`;
  }
}

/** dev_t, as libc packs it, of at most 32 bits. */
function toDevice(rdev: number): { readonly deviceMajor: number; readonly deviceMinor: number } {
  return { deviceMajor: (rdev >>> 8) & 0xfff, deviceMinor: (rdev & 0xff) | ((rdev >>> 12) & 0xfff00) };
}
