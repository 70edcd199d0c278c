import { lchownSync, readdirSync, realpathSync, rmSync, type Stats } from "node:fs";
import { errnoOf } from "../../errors/manager-error.ts";
import type { LayerLibc } from "../libc.ts";
import { type ByteString, toFsPath, toText } from "../tar/byte-string.ts";
import type { TarMember } from "../tar/tar-members.ts";
import { LayerError } from "./layer-error.ts";
import { lstatIfThere } from "./layer-path.ts";

/** What a layer's "not there" becomes. */
export interface Whiteouts {
  /** `.wh.X`: `path` is that of X, in a directory that exists. */
  hide(path: ByteString, member: TarMember): void;
  /** `.wh..wh..opq`: nothing of the lower layers is in that directory. */
  makeOpaque(directory: ByteString): void;
  /** The layer has written that path. */
  wrote(path: ByteString): void;
  /** Whether a file is the mark of something hidden. */
  isWhiteout(stat: Stats): boolean;
}

const S_IFCHR = 0o020000;

/** overlayfs's marks, for an upper directory: a device 0:0, and an attribute of an opaque directory (another one where mounts have `userxattr`). */
export function overlayWhiteouts(libc: LayerLibc, inUserNamespace: boolean): Whiteouts {
  const opaque = `${inUserNamespace ? "user" : "trusted"}.overlay.opaque`;
  return {
    hide(path, { name, uid, gid }) {
      try {
        libc.mknod(path, S_IFCHR, 0, 0);
      } catch (error) {
        if (errnoOf(error) !== "EEXIST") throw error;
        throw new LayerError(`${toText(name)}: the same layer has what it hides`, { cause: error });
      }
      lchownSync(toFsPath(path), uid, gid);
    },
    // "/." because the directory may be reached through a symbolic link, which setXattr does not follow.
    makeOpaque: (directory) => libc.setXattr(`${directory}/.`, opaque, Buffer.from("y")),
    wrote: () => {},
    isWhiteout: (stat) => stat.isCharacterDevice() && stat.rdev === 0,
  };
}

/** For a directory that has the lower layers' files in it: what is hidden is removed. */
export function removingWhiteouts(): Whiteouts {
  // In a directory that was empty there is nothing of a lower layer, so nothing has to be remembered.
  const written = readdirSync("/").length > 0 ? new WrittenPaths() : undefined;
  return {
    hide: (path) => removeTree(path),
    makeOpaque: (directory) => written?.removeOthers(realPath(directory)),
    wrote: (path) => written?.add(path),
    isWhiteout: () => false,
  };
}

/** Paths that a layer has written, and the directories above them. */
class WrittenPaths {
  readonly #paths = new Set<ByteString>();
  /** Directories with nothing of a lower layer in them, nor below: so they stay. A layer may have a million marks for one (GHSA-rp3h-jf77-q9p4). */
  readonly #cleared = new Set<ByteString>();

  /** The last part of `path` is not followed. */
  add(path: ByteString): void {
    const slash = path.lastIndexOf("/");
    const parent = realPath(path.slice(0, slash) || "/");
    for (
      let at = join(parent, path.slice(slash + 1));
      at !== "" && !this.#paths.has(at);
      at = at.slice(0, at.lastIndexOf("/"))
    ) {
      this.#paths.add(at);
    }
  }

  removeOthers(directory: ByteString): void {
    if (this.#isCleared(directory)) return;
    for (const name of readdirSync(toFsPath(directory), "latin1")) {
      const path = join(directory, name);
      if (!this.#paths.has(path)) removeTree(path);
      else if (lstatIfThere(path)?.isDirectory()) this.removeOthers(path);
    }
    this.#cleared.add(directory);
  }

  #isCleared(directory: ByteString): boolean {
    for (let at = directory; at !== ""; at = at.slice(0, at.lastIndexOf("/"))) if (this.#cleared.has(at)) return true;
    return this.#cleared.has("/");
  }
}

function realPath(path: ByteString): ByteString {
  return realpathSync.native(toFsPath(path), "latin1");
}

function join(directory: ByteString, name: ByteString): ByteString {
  return directory === "/" ? `/${name}` : `${directory}/${name}`;
}

/** Remove whatever has that name; nothing is success. */
export function removeTree(path: ByteString): void {
  rmSync(toFsPath(path), { recursive: true, force: true });
}
