import { chmodSync, lchownSync, linkSync, mkdirSync, symlinkSync } from "node:fs";
import { errnoOf } from "../../errors/manager-error.ts";
import type { FileTime, LayerLibc } from "../libc.ts";
import { type ByteString, toFsPath, toText } from "../tar/byte-string.ts";
import type { TarSink } from "../tar/tar-decoder.ts";
import type { TarMember } from "../tar/tar-members.ts";
import { FileWriter } from "./file-writer.ts";
import { LayerError } from "./layer-error.ts";
import { boundedParts, lstatIfThere, makeParents, modelDirectory, toPath } from "./layer-path.ts";
import type { LayerMeter } from "./limits.ts";
import { accessTime, modificationTime, setFileMetadata, setMetadata, setXattrs } from "./metadata.ts";
import { removeTree, type Whiteouts } from "./whiteouts.ts";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
const AUFS = ".wh..wh.";
const S_IFMT = { "3": 0o020000, "4": 0o060000, "6": 0o010000 } as const;
/** What the kernel says of a path that an archive has made impossible. */
const PATH_ERRORS: Readonly<Record<string, string>> = {
  ENOTDIR: "a part of the path is not a directory",
  ELOOP: "too many symbolic links",
  ENAMETOOLONG: "the name is too long",
};

/** Where a layer goes, and how. */
export interface LayerWriterOptions {
  readonly libc: LayerLibc;
  readonly whiteouts: Whiteouts;
  readonly meter: LayerMeter;
  /** Directories (topmost first) that are models for parents that the archive leaves out. */
  readonly lowers: readonly string[];
  /** Run with the host's root instead of the layer's. */
  readonly outside: <T>(body: () => T) => T;
  /** In a user namespace devices can't be made: they are left out. */
  readonly skipDevices: boolean;
}

interface Times {
  readonly atime: FileTime;
  readonly mtime: FileTime;
}

/**
 * Unpacks the members of one layer into the root of the calling thread, whose umask is 0: the kernel itself keeps every path, through
 * whatever links, inside. File operations are synchronous, since a layer has tens of thousands of small ones, and optimistic: the
 * usual member is new and its parent there. Throws LayerError, or the system's error.
 */
export class LayerWriter implements TarSink, Disposable {
  readonly #options: LayerWriterOptions;
  /** Set at the end, when nothing is made in them any more. */
  readonly #directoryTimes = new Map<ByteString, Times>();
  #file: FileWriter | undefined;

  constructor(options: LayerWriterOptions) {
    this.#options = options;
  }

  begin(member: TarMember): void {
    this.#options.meter.addEntry();
    const parts = boundedParts(member.name);
    const base = parts.at(-1);
    if (base === undefined) return; // the root itself keeps its mode and owner
    try {
      if (member.name.includes(WHITEOUT) && this.#hidden(member, parts, base)) return;
      this.#withParents(parts, () => this.#create(member, toPath(parts)));
      this.#options.whiteouts.wrote(toPath(parts));
    } catch (error) {
      const reason = PATH_ERRORS[errnoOf(error) ?? ""];
      throw reason === undefined ? error : new LayerError(`${toText(member.name)}: ${reason}`, { cause: error });
    }
  }

  data(chunk: Buffer): void {
    this.#file?.write(chunk);
  }

  end(member: TarMember): void {
    if (this.#file === undefined) return;
    using file = this.#file;
    this.#file = undefined;
    file.finish();
    setFileMetadata(this.#options.libc, file.fd, file.path, member);
  }

  /** To be called after the last member. */
  finish(): void {
    for (const [path, { atime, mtime }] of this.#directoryTimes) {
      if (lstatIfThere(path)?.isDirectory()) this.#options.libc.setTimes(path, atime, mtime);
    }
  }

  /** Closes the file that was being written, if any. */
  [Symbol.dispose](): void {
    this.#file?.[Symbol.dispose]();
    this.#file = undefined;
  }

  /** Whether the member says that something is not there, or is aufs's own bookkeeping (`.wh..wh.plnk`), which some old images carry. */
  #hidden(member: TarMember, parts: readonly ByteString[], base: ByteString): boolean {
    const { whiteouts } = this.#options;
    if (parts.some((part) => part.startsWith(AUFS) && part !== OPAQUE)) return true;
    if (!base.startsWith(WHITEOUT)) return false;
    const parent = parts.slice(0, -1);
    const hidden = base.slice(WHITEOUT.length);
    if (base === OPAQUE) this.#withParents([...parent, "."], () => whiteouts.makeOpaque(toPath(parent)));
    else if (hidden === "" || hidden === "." || hidden === "..") {
      throw new LayerError(`${toText(member.name)}: invalid whiteout name`);
    } else this.#withParents(parts, () => whiteouts.hide(toPath([...parent, hidden]), member));
    return true;
  }

  /** Run something on a path; if its directory is missing, make that and run again. */
  #withParents(parts: readonly ByteString[], body: () => void): void {
    try {
      body();
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") throw error;
      makeParents(parts.slice(0, -1), (missing) => this.#makeParent(missing));
      body();
    }
  }

  #makeParent(parts: readonly ByteString[]): void {
    const { libc, lowers, outside, whiteouts } = this.#options;
    this.#options.meter.addEntry(); // a name of 4 KB is 2000 directories
    const path = toPath(parts);
    mkdirSync(toFsPath(path), { mode: 0o755 });
    whiteouts.wrote(path);
    const model = outside(() => {
      const found = modelDirectory(lowers, parts);
      if (found === undefined) return undefined;
      const xattrs = libc.listXattrs(found.path).map((name) => [name, libc.getXattr(found.path, name)] as const);
      return {
        stat: found.stat,
        xattrs: new Map(xattrs.filter((pair): pair is [string, Buffer] => pair[1] !== undefined)),
      };
    });
    if (model === undefined) return;
    const { uid, gid, mode, mtimeMs } = model.stat;
    lchownSync(toFsPath(path), uid, gid);
    setXattrs(libc, path, model.xattrs, true);
    chmodSync(toFsPath(path), mode & 0o7777);
    const mtime = { seconds: Math.floor(mtimeMs / 1000), nanoseconds: Math.floor((mtimeMs % 1000) * 1e6) };
    this.#directoryTimes.set(path, { atime: mtime, mtime });
  }

  #create(member: TarMember, path: ByteString): void {
    switch (member.type) {
      case "0":
        this.#file = replacing(path, () => new FileWriter(path, member.sparse));
        return;
      case "1":
        this.#hardLink(member, path);
        return;
      case "2":
        if (member.linkName === "") throw new LayerError(`${toText(member.name)}: a link to nothing`);
        replacing(path, () => symlinkSync(toFsPath(member.linkName), toFsPath(path)));
        break;
      case "3":
      case "4":
        if (this.#options.skipDevices) return;
        this.#makeNode(member, path, S_IFMT[member.type]);
        break;
      case "6":
        this.#makeNode(member, path, S_IFMT[member.type]);
        break;
      case "5":
        this.#directory(path);
        this.#directoryTimes.set(path, { atime: accessTime(member), mtime: modificationTime(member) });
        break;
      default:
        throw new LayerError(
          `${toText(member.name)}: members of type ${JSON.stringify(member.type)} are not supported`,
        );
    }
    setMetadata(this.#options.libc, path, member);
  }

  #makeNode({ deviceMajor, deviceMinor }: TarMember, path: ByteString, type: number): void {
    replacing(path, () => this.#options.libc.mknod(path, type | 0o600, deviceMajor, deviceMinor));
  }

  /** A directory that is there is merged. One in the place of a whiteout still hides what lower layers have in it. */
  #directory(path: ByteString): void {
    const make = () => mkdirSync(toFsPath(path), { mode: 0o700 });
    try {
      make();
    } catch (error) {
      if (errnoOf(error) !== "EEXIST") throw error;
      const existing = lstatIfThere(path);
      if (existing?.isDirectory()) return;
      removeTree(path);
      make();
      if (existing !== undefined && this.#options.whiteouts.isWhiteout(existing))
        this.#options.whiteouts.makeOpaque(path);
    }
  }

  /** The target must be in this tree; its last part is not followed. */
  #hardLink(member: TarMember, path: ByteString): void {
    const target = toPath(boundedParts(member.linkName));
    const found = lstatIfThere(target);
    if (found === undefined || found.isDirectory() || this.#options.whiteouts.isWhiteout(found)) {
      const name = JSON.stringify(toText(member.linkName));
      throw new LayerError(`${toText(member.name)}: the layer has no ${name} to link to`);
    }
    const existing = lstatIfThere(path);
    if (existing !== undefined && existing.ino === found.ino && existing.dev === found.dev) return;
    replacing(path, () => linkSync(toFsPath(target), toFsPath(path)));
  }
}

/** Make something; what is in the way is removed first. */
function replacing<T>(path: ByteString, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
    removeTree(path);
    return make();
  }
}
