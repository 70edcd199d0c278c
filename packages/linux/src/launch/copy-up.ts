import { ATTR } from "../mount/mount.ts";
import { runChild } from "./child.ts";
import { AT, CLOSE_RANGE_CLOEXEC, MOUNT, O } from "./constants.ts";
import { BRANCH } from "./opcodes.ts";
import type { Operand, ProgramBuilder } from "./program.ts";
import { setAttributes } from "./tree.ts";

const FROM = 297;
const TO = 298;
/** The host's, so only before the pivot. */
const PATHS = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
const EMPTY_DIRECTORY = 48; // two entries of 24 bytes: "." and ".."

/**
 * Fill a new file system with what the directory under it holds: owners, modes, links and attributes as they are, by the host's `cp -a`.
 * Source and target are fds: no path of the image's is walked to reach them. The host's root is in sight of `cp`, which looks at a name and then
 * opens it: a neighbour may have put a link in its place. So it reads a clone of the directory's mount on which the kernel follows no link.
 */
export function copyUp(b: ProgramBuilder, target: Operand, tree: Operand): void {
  const flags = MOUNT.OPEN_TREE_CLONE | O.CLOEXEC | AT.RECURSIVE | AT.EMPTY_PATH;
  const clone = b.call("open_tree", [target, b.data.string(""), flags], { action: "clone target" });
  setAttributes(b, clone, { set: ATTR.nosymfollow, clear: 0 }, true);
  const source = b.call("openat", [clone, b.data.string("."), O.RDONLY | O.CLOEXEC], { action: "open target" });
  const entries = b.call("getdents64", [source, b.data.space(4096), 4096], { action: "read target" });
  const empty = b.op("BRANCH", [entries, BRANCH.less, EMPTY_DIRECTORY + 1], { action: "is empty" });
  runChild(b, {
    run: () => {
      b.sys("dup3", [source, FROM, 0]);
      b.sys("dup3", [tree, TO, 0]);
      b.sys("close_range", [3, FROM - 1, CLOSE_RANGE_CLOEXEC], { tolerate: ["ENOSYS", "EINVAL"] });
      const args = ["cp", "-a", `/proc/self/fd/${FROM}/.`, `/proc/self/fd/${TO}/`].map((arg) => b.data.string(arg));
      const env = b.data.pointers([b.data.string(PATHS)]);
      for (const path of ["/bin/cp", "/usr/bin/cp"]) {
        b.sys("execveat", [AT.FDCWD, b.data.string(path), b.data.pointers(args), env, 0], {
          action: "execve",
          ...(path === "/bin/cp" ? { tolerate: ["ENOENT"] } : {}),
        });
      }
    },
  });
  b.skipOnSuccess(empty);
  b.sys("close", [source]);
  b.sys("close", [clone]);
  b.release(clone);
  b.release(entries);
  b.release(source);
}
