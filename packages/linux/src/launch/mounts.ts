import { ATTR, type IdMappings, type Mount } from "../mount/mount.ts";
import { type MountOptions, parseMountOptions } from "../mount/options.ts";
import { InvalidSpec } from "../spec/invalid-spec.ts";
import { type CgroupTrees, cgroupRoot, fillCgroup, prepareCgroup } from "./cgroup-mount.ts";
import { MAGIC, MOUNT, MS, O } from "./constants.ts";
import { copyUp } from "./copy-up.ts";
import { mapTree } from "./idmap.ts";
import { CHECK, MISSING, PATH_FLAG } from "./opcodes.ts";
import type { InitPlan } from "./plan.ts";
import type { Operand, ProgramBuilder, Register } from "./program.ts";
import { fsParameters, hostPath, prepareBind } from "./rootfs.ts";
import { toHostId } from "./stage.ts";
import { attach, check, configure, createFileSystem, resolve, resolveLike, setAttributes } from "./tree.ts";

/** One entry of `mounts`, and what was prepared for it while the host's paths were in reach. */
export interface PreparedMount {
  readonly field: string;
  readonly mount: Mount;
  readonly options: MountOptions;
  readonly kind: "bind" | "remount" | "cgroup" | "kernel" | "other";
  tree: Operand | undefined;
  readonly cgroup: CgroupTrees | undefined;
}

/** Fds of the file systems that we mounted ourselves, by target: what is below them holds no link of the image's. */
export interface OwnMounts {
  /** Kept fds of /proc, /sys, /dev, /dev/pts. */
  readonly fds: ReadonlyMap<string, Operand>;
  /** tmpfs to be made read-only when everything below is in place. */
  readonly later: readonly { readonly tree: Operand; readonly field: string }[];
}

/** File systems whose SELinux label is told when they are made. */
const LABELLED = new Set(["tmpfs", "devpts", "ramfs"]);
const KEPT = new Set(["/proc", "/sys", "/dev", "/dev/pts"]);
/** The only names that may be mounted over in /proc. Source: runtime checklist 1.4. */
const PROC_FILES = new Set(
  ["cpuinfo", "diskstats", "meminfo", "stat", "swaps", "uptime", "loadavg", "slabinfo"]
    .concat(["sys/kernel/ns_last_pid", "sys/crypto/fips_enabled"])
    .map((name) => `/proc/${name}`),
);

/** First part: everything that needs host paths. Throws InvalidSpec. */
export function prepareMounts(b: ProgramBuilder, plan: InitPlan): PreparedMount[] {
  return plan.spec.mounts.map((mount, i) => {
    const field = `mounts[${i}] ${JSON.stringify(mount.target)}`;
    b.field = field;
    const options = parseMountOptions(mount.options, () => field);
    const kind = kindOf(mount, options, plan, field);
    if (mount.target.startsWith("/proc/") && !PROC_FILES.has(mount.target)) {
      throw new InvalidSpec(field, "nothing may be mounted there");
    }
    checkCopyUp(mount, options, kind, field);
    const mappings = idMappingsOf(mount, options, plan, field);
    const source = kind === "bind" ? prepareSource(b, mount, options, plan) : undefined;
    if (source !== undefined && mappings !== undefined) mapTree(b, source, mappings, options.idmap === "ridmap");
    const early = kind === "other" && hasHostPaths(mount, plan) ? create(b, mount, options, plan) : source;
    const tree = early === undefined ? undefined : park(b, early, i);
    const cgroup = kind === "cgroup" ? prepareCgroup(b, plan.cgroup, options) : undefined;
    return { field, mount, options, kind, tree, cgroup };
  });
}

/** A device, or an overlay's layers. Whoever has a user namespace may mount what the kernel lets it, and that is made in there. */
function hasHostPaths({ type, source }: Mount, { spec }: InitPlan): boolean {
  const named = type === "overlay" || (source.startsWith("/") && !LABELLED.has(type));
  return named && !spec.linux.namespaces.has("user");
}

function checkCopyUp({ type }: Mount, { copyUp }: MountOptions, kind: PreparedMount["kind"], field: string): void {
  if (copyUp && (kind !== "other" || type !== "tmpfs")) throw new InvalidSpec(field, "only a tmpfs takes tmpcopyup");
}

/** The mount's own lines; with `idmap` alone those of the container's user namespace. Undefined: ids are as on disk. */
function idMappingsOf(
  { idMappings }: Mount,
  options: MountOptions,
  { spec: { linux } }: InitPlan,
  field: string,
): IdMappings | undefined {
  const own = idMappings ?? options.idMappings;
  if (own === undefined && options.idmap === "none") return undefined;
  if (options.bind === "none") throw new InvalidSpec(field, "only a bind takes id mappings");
  if (own !== undefined) return own;
  if (linux.uidMappings.length === 0 || linux.gidMappings.length === 0)
    throw new InvalidSpec(field, "no id mappings, and no user namespace to take them from", options.idmap);
  return { uids: linux.uidMappings, gids: linux.gidMappings };
}

/** Registers that the rest of a program needs; and where fds go when there are no more. Both are ours: nothing else is open. */
const RESERVED_REGISTERS = 28;
const FIRST_PARKED_FD = 300;

/** Many binds: an fd number of our choice instead of a register. */
export function park(b: ProgramBuilder, tree: Register, index: number): Operand {
  if (b.available >= RESERVED_REGISTERS) return tree;
  b.sys("dup3", [tree, FIRST_PARKED_FD + index, O.CLOEXEC]);
  b.sys("close", [tree]);
  b.release(tree);
  return FIRST_PARKED_FD + index;
}

function kindOf(
  { type }: Mount,
  options: MountOptions,
  { spec: { linux }, host }: InitPlan,
  field: string,
): PreparedMount["kind"] {
  if (options.remount) return "remount";
  if (options.bind !== "none" || type === "bind" || type === "rbind") return "bind";
  if (type === "cgroup" || type === "cgroup2") return "cgroup";
  if (type === "proc" || type === "sysfs") {
    // A sysfs of somebody else's network namespace is refused to a user namespace: the host's is bound.
    const isMapped = host.inUserNamespace || linux.namespaces.has("user");
    return type === "sysfs" && isMapped && !linux.namespaces.has("network") ? "bind" : "kernel";
  }
  if (type === "") throw new InvalidSpec(field, "no type");
  return "other";
}

function prepareSource(b: ProgramBuilder, mount: Mount, options: MountOptions, plan: InitPlan): Register {
  const isSysfs = mount.type === "sysfs" && options.bind === "none";
  const source = isSysfs ? "/sys" : hostPath(plan.bundle, mount.source);
  if (mount.source === "") throw new InvalidSpec(b.field, "a bind needs a source");
  const recursive = isSysfs || options.bind === "rbind" || mount.type === "rbind";
  const ownPeers = plan.spec.linux.rootfsPropagation?.flag !== MS.SHARED; // as in runc, whose own mounts are the host's slaves unless this is said
  const tree = prepareBind(b, source, options, recursive, { flag: MS.PRIVATE, recursive }, ownPeers);
  if (mount.target === "/proc") check(b, tree, CHECK.magic, MAGIC.proc, { action: "statfs" });
  return tree;
}

/** Second part: proc and sysfs, detached. In the container's namespaces, before the host's instances are out of sight. */
export function createKernelMounts(b: ProgramBuilder, mounts: readonly PreparedMount[]): void {
  for (const prepared of mounts) {
    if (prepared.kind !== "kernel") continue;
    b.field = prepared.field;
    const { mount, options } = prepared;
    prepared.tree = createFileSystem(b, mount.type, fsParameters(mount.source, options), options.attributes.set);
  }
}

/** Third part, after the pivot: attach in listed order. */
export function attachMounts(
  b: ProgramBuilder,
  plan: InitPlan,
  root: Register,
  mounts: readonly PreparedMount[],
): OwnMounts {
  const fds = new Map<string, Operand>();
  const later: { tree: Operand; field: string }[] = [];
  const fresh = new Map<string, boolean>();
  for (const prepared of mounts) {
    const { mount, options, kind } = prepared;
    b.field = prepared.field;
    const trusted = isTrusted(fresh, mount.target);
    if (kind === "remount") {
      remount(b, root, mount, options);
      continue;
    }
    const { cgroup } = prepared;
    const tree = cgroup === undefined ? (prepared.tree ?? create(b, mount, options, plan)) : cgroupRoot(b, cgroup);
    const target = targetOf(b, root, prepared, tree, trusted);
    if (options.copyUp) copyUp(b, target, tree);
    attach(b, tree, target);
    b.release(target);
    if (cgroup !== undefined) fillCgroup(b, cgroup, tree);
    fresh.set(mount.target, kind !== "bind");
    for (const { flag, recursive } of options.propagation) {
      if (kind === "bind" && flag !== MS.UNBINDABLE) continue; // done before
      setAttributes(b, tree, { set: 0, clear: 0, propagation: flag }, recursive);
    }
    const isLater = kind === "other" && mount.type === "tmpfs" && (options.attributes.set & ATTR.rdonly) !== 0;
    if (isLater) later.push({ tree, field: prepared.field });
    if (kind !== "bind" && KEPT.has(mount.target)) fds.set(mount.target, tree);
    else if (!isLater) drop(b, tree);
    if (kind === "bind") fds.delete(mount.target);
  }
  return { fds, later };
}

function drop(b: ProgramBuilder, tree: Operand): void {
  if (typeof tree === "object" && tree.kind === "register") b.release(tree);
}

/** Below a file system of our own, and nobody else's in between. */
function isTrusted(fresh: ReadonlyMap<string, boolean>, target: string): boolean {
  for (let end = target.lastIndexOf("/"); end > 0; end = target.lastIndexOf("/", end - 1)) {
    const own = fresh.get(target.slice(0, end));
    if (own !== undefined) return own;
  }
  return false;
}

function create(b: ProgramBuilder, { type, source }: Mount, options: MountOptions, { spec }: InitPlan): Register {
  const isTmpfs = type === "tmpfs";
  let data = options.data;
  if (type === "devpts") {
    data = data.filter(
      ({ key, value }) => key !== "gid" || toHostId(spec.linux.gidMappings, Number(value)) !== undefined,
    );
    if (!data.some(({ key }) => key === "newinstance")) data = [{ key: "newinstance", value: undefined }, ...data];
  }
  const { mountLabel } = spec.linux;
  if (mountLabel !== undefined && LABELLED.has(type)) data = [...data, { key: "context", value: mountLabel }];
  const attributes = isTmpfs ? options.attributes.set & ~ATTR.rdonly : options.attributes.set;
  const known = isTmpfs ? { ...options, attributes: { ...options.attributes, set: attributes } } : options;
  return createFileSystem(b, type, fsParameters(source, known, data), attributes);
}

/** proc and sysfs: a real directory, reached without any symlink. All else: inside the rootfs, and not inside /proc. */
function targetOf(
  b: ProgramBuilder,
  root: Register,
  { mount, kind }: PreparedMount,
  tree: Operand,
  trusted: boolean,
): Register {
  const isProc = mount.target === "/proc" || mount.target === "/sys" || kind === "kernel";
  if (isProc)
    return resolve(b, root, mount.target, MISSING.makeDirectory, { mode: 0o755, flags: PATH_FLAG.noSymlinks });
  const target =
    kind === "bind"
      ? resolveLike(b, tree, root, mount.target)
      : resolve(b, root, mount.target, MISSING.makeDirectory, { mode: 0o755 });
  if (!trusted && !mount.target.startsWith("/proc/")) {
    const inProc = check(b, target, CHECK.magic, MAGIC.proc, { tolerate: ["EXDEV"], action: "statfs" });
    check(b, target, CHECK.magic, 0, { action: "refuse a target inside /proc" });
    b.skipOnError(inProc);
  }
  return target;
}

/** Flags of what is there already; unmentioned ones stay. */
function remount(b: ProgramBuilder, root: Register, { target }: Mount, options: MountOptions): void {
  const at = resolve(b, root, target, MISSING.fail);
  const { attributes, recursive, superblock, data } = options;
  setAttributes(b, at, attributes);
  if (recursive.set !== 0 || recursive.clear !== 0) setAttributes(b, at, recursive, true);
  for (const { flag, recursive } of options.propagation)
    setAttributes(b, at, { set: 0, clear: 0, propagation: flag }, recursive);
  if (options.bind === "none" && (superblock.length > 0 || data.length > 0)) {
    const context = b.call("fspick", [at, b.data.string(""), MOUNT.FSPICK_CLOEXEC | MOUNT.FSPICK_EMPTY_PATH]);
    configure(b, context, fsParameters("", options));
    b.sys("fsconfig", [context, MOUNT.CMD_RECONFIGURE, 0, 0, 0], { action: "fsconfig reconfigure" });
    b.release(context);
  }
  b.release(at);
}

/** Phase H: what had to stay writable until now. */
export function sealMounts(b: ProgramBuilder, { later }: OwnMounts): void {
  for (const { tree, field } of later) {
    b.field = field;
    setAttributes(b, tree, { set: ATTR.rdonly, clear: 0 });
  }
}
