import { chmodSync, fchmodSync, fchownSync, lchownSync } from "node:fs";
import { errnoOf } from "../../errors/manager-error.ts";
import type { FileTime, LayerLibc } from "../libc.ts";
import { type ByteString, toFsPath } from "../tar/byte-string.ts";
import type { TarMember } from "../tar/tar-members.ts";

/** The kernel's file systems keep 34 bits of seconds. */
const MAX_TIME_S = 2 ** 34 - 1;
const EPOCH: FileTime = { seconds: 0, nanoseconds: 0 };

/** Give a new file, open as `fd`, its owner, attributes, mode and times: in this order, since chown takes setuid and capabilities away. */
export function setFileMetadata(libc: LayerLibc, fd: number, path: ByteString, member: TarMember): void {
  fchownSync(fd, member.uid, member.gid);
  setXattrs(libc, path, member.xattrs, true);
  fchmodSync(fd, member.mode);
  libc.setTimes(fd, accessTime(member), modificationTime(member));
}

/** The same for what is not a regular file, by path. The times of a directory are the caller's to set, when all is in it. */
export function setMetadata(libc: LayerLibc, path: ByteString, member: TarMember): void {
  lchownSync(toFsPath(path), member.uid, member.gid);
  setXattrs(libc, path, member.xattrs, member.type === "5");
  if (member.type !== "2") chmodSync(toFsPath(path), member.mode); // follows links, and there are none elsewhere
  if (member.type !== "5") libc.setTimes(path, accessTime(member), modificationTime(member));
}

/**
 * Attributes of a layer. `trusted.` is overlayfs's own and not a layer's to set. A file system without attributes, or without
 * user's on this kind of file, is no error.
 */
export function setXattrs(
  libc: LayerLibc,
  path: ByteString,
  xattrs: ReadonlyMap<ByteString, Buffer>,
  takesUser: boolean,
): void {
  for (const [name, value] of xattrs) {
    if (name.startsWith("trusted.")) continue;
    try {
      libc.setXattr(path, name, value);
    } catch (error) {
      const errno = errnoOf(error);
      const isIgnored = errno === "ENOTSUP" || errno === "EOPNOTSUPP";
      if (!isIgnored && (errno !== "EPERM" || takesUser || !name.startsWith("user."))) throw error;
    }
  }
}

/** Times before 1970 and beyond what a file system can keep are moved to the nearest that it can. */
export function modificationTime({ mtimeSeconds, mtimeNanoseconds }: TarMember): FileTime {
  if (mtimeSeconds < 0) return EPOCH;
  if (mtimeSeconds > MAX_TIME_S) return { seconds: MAX_TIME_S, nanoseconds: 0 };
  return { seconds: mtimeSeconds, nanoseconds: mtimeNanoseconds };
}

/** The later of both times. */
export function accessTime(member: TarMember): FileTime {
  const { atimeSeconds } = member;
  const mtime = modificationTime(member);
  if (atimeSeconds === undefined || atimeSeconds <= mtime.seconds) return mtime;
  return { seconds: Math.min(atimeSeconds, MAX_TIME_S), nanoseconds: 0 };
}
