import { ATTR, type IdMappings } from "../mount/mount.ts";
import type { IdMapping } from "../spec/linux.ts";
import { fork, SHARED_FILES, waitFor } from "./child.ts";
import { AT, CLONE, O, POLLIN, SIGKILL, SIZE } from "./constants.ts";
import { AS } from "./opcodes.ts";
import type { Operand, ProgramBuilder, Register } from "./program.ts";

const USERNS_OFFSET = 24; // userns_fd in struct mount_attr
/** Where the helper puts its /proc entry: it shares our fds, and can say nothing else. */
const PROC_FD = 299;
const EFD_CLOEXEC = O.CLOEXEC;
const EFD_NONBLOCK = O.NONBLOCK;
const HELPER_TIMEOUT_S = 10;

/** Show the ids of a detached tree through these lines; `recursive`: of everything below it, too. From Linux 5.12 on. */
export function mapTree(b: ProgramBuilder, tree: Operand, mappings: IdMappings, recursive: boolean): void {
  const userNamespace = makeUserNamespace(b, mappings);
  const attr = b.data.words([ATTR.idmap, 0, 0, 0]);
  b.op("STORE", [userNamespace, attr.offset + USERNS_OFFSET, AS.i64]);
  const flags = AT.EMPTY_PATH | (recursive ? AT.RECURSIVE : 0);
  b.sys("mount_setattr", [tree, b.data.string(""), flags, attr, SIZE.mountAttr], { action: "map ids" });
  b.sys("close", [userNamespace]);
  b.release(userNamespace);
}

/**
 * A user namespace with these maps, as an fd. A child is in it for a moment: it opens its own /proc entry, which is the right one in
 * whichever pid namespace it is, into fds that it shares with us. We, who are privileged, write the maps.
 */
function makeUserNamespace(b: ProgramBuilder, { uids, gids }: IdMappings): Register {
  const ready = b.call("eventfd2", [0, EFD_CLOEXEC | EFD_NONBLOCK]);
  const child = fork(b, CLONE.NEWUSER | SHARED_FILES, () => {
    const own = b.call("openat", [AT.FDCWD, b.data.string("/proc/self"), O.PATH | O.CLOEXEC], { action: "open /proc" });
    b.sys("dup3", [own, PROC_FD, O.CLOEXEC]);
    b.sys("close", [own]);
    b.sys("write", [ready, b.data.words([1]), 8]);
    b.sys("ppoll", [0, 0, 0, 0, 0], { tolerate: "any", action: "wait for the end" });
    b.op("EXIT", [0]);
    b.release(own);
  });
  const poll = b.data.words([BigInt(POLLIN) << 32n]);
  b.op("STORE", [ready, poll.offset, AS.i32]);
  b.sys("ppoll", [poll, 1, b.data.words([HELPER_TIMEOUT_S, 0]), 0, 0], { action: "wait for helper" });
  b.sys("read", [ready, b.data.space(8), 8], { action: "wait for helper" });
  writeMap(b, "uid_map", uids);
  writeMap(b, "gid_map", gids);
  const namespace = b.call("openat", [PROC_FD, b.data.string("ns/user"), O.RDONLY | O.CLOEXEC], {
    action: "open user namespace",
  });
  b.sys("close", [PROC_FD]);
  b.sys("close", [ready]);
  b.sys("kill", [child, SIGKILL]);
  b.release(waitFor(b, child));
  b.release(ready);
  return namespace;
}

function writeMap(b: ProgramBuilder, file: string, lines: readonly IdMapping[]): void {
  const fd = b.call("openat", [PROC_FD, b.data.string(file), O.WRONLY | O.CLOEXEC], { action: `open ${file}` });
  const text = lines.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`).join("");
  b.sys("write", [fd, b.data.string(text), Buffer.byteLength(text)], { action: "write the maps" });
  b.sys("close", [fd]);
  b.release(fd);
}
