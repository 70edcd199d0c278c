import { ATTR } from "../mount/mount.ts";
import type { Device } from "../spec/linux.ts";
import type { Spec } from "../spec/spec.ts";
import { AT, MOUNT, makedev, O, O_BY_ARCH, S } from "./constants.ts";
import type { HostFeatures } from "./host.ts";
import type { OwnMounts } from "./mounts.ts";
import { CHECK, MISSING, PATH_FLAG } from "./opcodes.ts";
import type { Operand, ProgramBuilder, Register } from "./program.ts";
import { attach, check, resolve, setAttributes } from "./tree.ts";

/** A node to be made; in a user namespace a clone of the host's instead. */
export interface PreparedDevice {
  readonly device: Device;
  readonly field: string;
  readonly tree: Register | undefined;
}

/** What a process finds in /dev unless `linux.devices` has another one of that path. */
const DEFAULT_DEVICES: readonly Device[] = (
  [
    ["null", 1, 3],
    ["zero", 1, 5],
    ["full", 1, 7],
    ["random", 1, 8],
    ["urandom", 1, 9],
    ["tty", 5, 0],
  ] as const
).map(([name, major, minor]) => ({ path: `/dev/${name}`, type: "c", major, minor, mode: 0o666, uid: 0, gid: 0 }));

const TYPE = { c: S.IFCHR, b: S.IFBLK, p: S.IFIFO } as const;
const LINKS = [
  ["/proc/self/fd", "fd"],
  ["/proc/self/fd/0", "stdin"],
  ["/proc/self/fd/1", "stdout"],
  ["/proc/self/fd/2", "stderr"],
] as const;

/** True if the spec brings a /dev of the host's: then nothing is made in it. */
export function hasForeignDev(spec: Spec): boolean {
  const dev = spec.mounts.findLast(({ target }) => target === "/dev");
  return dev !== undefined && (dev.type === "bind" || dev.options.includes("bind") || dev.options.includes("rbind"));
}

/** While the host's /dev is in reach: in a user namespace no node can be made, so the host's are cloned and verified. */
export function prepareDevices(b: ProgramBuilder, spec: Spec, host: HostFeatures): PreparedDevice[] {
  if (hasForeignDev(spec)) return [];
  const configured = new Set(spec.linux.devices.map(({ path }) => path));
  const all = [
    ...DEFAULT_DEVICES.filter(({ path }) => !configured.has(path)).map((device) => ({
      device,
      field: `default device "${device.path}"`,
    })),
    ...spec.linux.devices.map((device, i) => ({ device, field: `linux.devices[${i}] ${JSON.stringify(device.path)}` })),
  ];
  if (!spec.linux.namespaces.has("user") && !host.inUserNamespace)
    return all.map((one) => ({ ...one, tree: undefined }));
  const flags = MOUNT.OPEN_TREE_CLONE | O.CLOEXEC | AT.SYMLINK_NOFOLLOW;
  return all.map(({ device, field }) => {
    b.field = field;
    const tree = b.call("open_tree", [AT.FDCWD, b.data.string(device.path), flags]);
    verify(b, tree, device);
    setAttributes(b, tree, { set: ATTR.nosuid | ATTR.noexec, clear: 0 });
    return { device, field, tree };
  });
}

function verify(b: ProgramBuilder, fd: Operand, { type, major, minor }: Device): void {
  check(b, fd, CHECK.type, TYPE[type], { action: "device type" });
  if (type !== "p") check(b, fd, CHECK.rdev, makedev(major, minor), { action: "device number" });
}

/** Nodes and links of /dev. Umask must be 0. Every name is made in a directory held by an fd, and never followed. */
export function makeDevices(
  b: ProgramBuilder,
  spec: Spec,
  host: HostFeatures,
  root: Register,
  own: OwnMounts,
  devices: readonly PreparedDevice[],
): Operand | undefined {
  if (hasForeignDev(spec)) return undefined;
  const mounted = own.fds.get("/dev");
  b.field = "/dev";
  const dev = mounted ?? resolve(b, root, "/dev", MISSING.makeDirectory, { mode: 0o755 });
  for (const prepared of devices) makeDevice(b, host, root, dev, mounted !== undefined, prepared);
  b.field = "/dev";
  const links: (readonly [string, string])[] = [...LINKS, ["pts/ptmx", "ptmx"]];
  if (host.kcore) links.push(["/proc/kcore", "core"]);
  for (const [target, name] of links) {
    b.sys("symlinkat", [b.data.string(target), dev, b.data.string(name)], { tolerate: ["EEXIST"] });
  }
  return dev;
}

function makeDevice(
  b: ProgramBuilder,
  host: HostFeatures,
  root: Register,
  dev: Operand,
  isFresh: boolean,
  { device, field, tree }: PreparedDevice,
): void {
  b.field = field;
  const { path, type, major, minor, mode, uid, gid } = device;
  const slash = path.lastIndexOf("/");
  const name = b.data.string(path.slice(slash + 1));
  const isInDev = path.startsWith("/dev/");
  const isDirect = isInDev && slash === 4;
  const [base, inside] = isInDev ? [dev, path.slice(5)] : [root, path];
  const nested = isDirect ? undefined : resolve(b, base, inside, MISSING.parent);
  const parent = nested ?? dev;
  const isOwn = isDirect && isFresh;
  if (tree === undefined) {
    const made = b.sys(
      "mknodat",
      [parent, name, TYPE[type] | mode, makedev(major, minor)],
      isOwn ? {} : { tolerate: ["EEXIST"] },
    );
    const isOwned = uid !== 0 || gid !== 0;
    if (isOwned) b.sys("fchownat", [parent, name, uid, gid, AT.SYMLINK_NOFOLLOW]);
    if (!isOwn) {
      const jump = isOwned ? b.op("BRANCH", [0, 0, 0], { action: "made" }) : made; // what was there already is verified, not changed
      if (isOwned) b.skipOnError(made);
      const flags = O.PATH | O.CLOEXEC | O_BY_ARCH[host.architecture].NOFOLLOW;
      const there = b.call("openat", [parent, name, flags]);
      verify(b, there, device);
      b.release(there);
      b.skipOnSuccess(jump);
    }
  } else {
    // Never opened for real: what the image has there may be a FIFO, which would hold us up, or a device.
    const options = { mode: 0o644, flags: PATH_FLAG.noSymlinks };
    const place = resolve(b, parent, path.slice(slash + 1), MISSING.makeFile, options);
    attach(b, tree, place);
    b.release(place);
    b.release(tree);
  }
  if (nested !== undefined) b.release(nested);
}

/** A standard stream that is the host's /dev/null becomes the container's. */
export function reopenNull(b: ProgramBuilder, host: HostFeatures, dev: Operand): void {
  b.field = "stdio";
  const flags = O.RDWR | O.CLOEXEC | O_BY_ARCH[host.architecture].NOFOLLOW;
  const fd = b.call("openat", [dev, b.data.string("null"), flags]);
  check(b, fd, CHECK.rdev, makedev(1, 3), { action: "device number" });
  for (const stream of [0, 1, 2]) {
    const same = check(b, stream, CHECK.rdev, makedev(1, 3), { tolerate: ["EXDEV"] });
    b.sys("dup3", [fd, stream, 0]);
    b.skipOnError(same);
  }
  b.release(fd);
}
