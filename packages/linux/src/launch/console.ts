import { AT, IOCTL, MAGIC, MOUNT, makedev, O, O_BY_ARCH, RESOLVE } from "./constants.ts";
import type { HostFeatures } from "./host.ts";
import { CHECK, MISSING, PATH_FLAG, SYNC_CODE } from "./opcodes.ts";
import type { StdioPlan } from "./plan.ts";
import type { Operand, ProgramBuilder, Register } from "./program.ts";
import { attach, check, openAt, resolve } from "./tree.ts";

/** Where the pty comes from: our own devpts mount, or /dev/pts below a root, checked. */
export interface ConsolePlace {
  readonly pts: Operand | undefined;
  readonly root: Operand;
  /** Our own /dev: gets `console`, with the slave bound over it. */
  readonly dev: Operand | undefined;
  readonly uid: number;
}

const PTMX_INODE = 2;

/**
 * Make a pty, send its master to the monitor, make the slave 0, 1, 2 and the controlling terminal of the session (which must be
 * new). Source: runtime checklist 1.6.
 */
export function makeConsole(b: ProgramBuilder, stdio: StdioPlan, host: HostFeatures, place: ConsolePlace): void {
  if (stdio.kind !== "terminal") return;
  b.field = "process.terminal";
  const master = openMaster(b, host, place);
  const zero = b.data.words([0]);
  b.sys("ioctl", [master, IOCTL.TIOCSPTLCK, zero], { action: "unlock pty" });
  const slave = b.call("ioctl", [master, IOCTL.TIOCGPTPEER, O.RDWR | O.NOCTTY | O.CLOEXEC], {
    action: "open pty peer",
  });
  if (stdio.width !== undefined && stdio.height !== undefined) {
    const size = new Uint8Array(8);
    new DataView(size.buffer).setUint16(0, stdio.height, true);
    new DataView(size.buffer).setUint16(2, stdio.width, true);
    b.sys("ioctl", [master, IOCTL.TIOCSWINSZ, b.data.bytes(size)], { action: "set size" });
  }
  if (place.uid !== 0) b.sys("fchown", [slave, place.uid, -1], { tolerate: ["EPERM", "EROFS"] });
  if (place.dev !== undefined) bindConsole(b, place.dev, slave);
  b.op("SYNC", [SYNC_CODE.CONSOLE, 0, master, stdio.slot, b.data.string(""), 0], { action: "send the console" });
  for (const fd of [0, 1, 2]) b.sys("dup3", [slave, fd, 0]);
  b.sys("ioctl", [0, IOCTL.TIOCSCTTY, 0], { action: "set controlling terminal" });
  b.release(master);
  b.release(slave);
}

function openMaster(b: ProgramBuilder, host: HostFeatures, { pts, root }: ConsolePlace): Register {
  const flags = O.RDWR | O.NOCTTY | O.CLOEXEC | O_BY_ARCH[host.architecture].NOFOLLOW;
  if (pts !== undefined) return b.call("openat", [pts, b.data.string("ptmx"), flags], { action: "open ptmx" });
  // Somebody else's devpts: look before the open has an effect, then check what was opened.
  const there = resolve(b, root, "/dev/pts/ptmx", MISSING.fail, { flags: PATH_FLAG.noFollow });
  verifyMaster(b, there);
  b.release(there);
  const master = openAt(b, root, "/dev/pts/ptmx", flags, RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS, {
    action: "open ptmx",
  });
  verifyMaster(b, master);
  return master;
}

function verifyMaster(b: ProgramBuilder, fd: Operand): void {
  check(b, fd, CHECK.magic, MAGIC.devpts, { action: "statfs" });
  check(b, fd, CHECK.inode, PTMX_INODE, { action: "stat ptmx" });
  check(b, fd, CHECK.rdev, makedev(5, 2), { action: "device number" });
}

function bindConsole(b: ProgramBuilder, dev: Operand, slave: Register): void {
  b.field = 'process.terminal "/dev/console"';
  const place = resolve(b, dev, "console", MISSING.makeFile, { mode: 0o620, flags: PATH_FLAG.noSymlinks });
  const clone = MOUNT.OPEN_TREE_CLONE | O.CLOEXEC | AT.EMPTY_PATH;
  const tree = b.call("open_tree", [slave, b.data.string(""), clone]);
  attach(b, tree, place);
  b.release(tree);
  b.release(place);
  b.field = "process.terminal";
}
