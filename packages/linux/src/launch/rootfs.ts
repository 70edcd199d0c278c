import { join } from "node:path";
import { ATTR, type IdMappings, type Mount } from "../mount/mount.ts";
import { type FsParameter, type MountOptions, parseMountOptions } from "../mount/options.ts";
import { lowerLayers, type OverlayAbility, overlayParameters, overlayText } from "../mount/overlay.ts";
import { InvalidSpec } from "../spec/invalid-spec.ts";
import type { Propagation } from "../spec/linux.ts";
import { AT, CLONE, MOUNT, MS, O, O_BY_ARCH, RESOLVE } from "./constants.ts";
import { type HostFeatures, kernelAtLeast } from "./host.ts";
import { mapTree } from "./idmap.ts";
import { MISSING } from "./opcodes.ts";
import type { Operand, ProgramBuilder, Register } from "./program.ts";
import {
  attach,
  cloneTree,
  createFileSystem,
  leaveHostMounts,
  openAt,
  resolve,
  setAttributes,
  slaveMounts,
} from "./tree.ts";

/** A mount of Create's that goes below the rootfs once that is in place. */
export interface ExtraMount {
  readonly tree: Register;
  readonly target: string;
  readonly field: string;
}

/** What a rootfs is made of: Create's mounts, and where they are none the directory that the spec names. */
export interface RootfsPlan {
  readonly rootfs: readonly Mount[];
  readonly bundle: string;
  readonly host: HostFeatures;
  readonly spec: {
    readonly root: { readonly path: string };
    readonly linux: { readonly rootfsPropagation: Propagation | undefined };
  };
}

/** The rootfs as detached trees: nothing is attached yet, the host's mount table knows nothing of it. */
export interface PreparedRootfs {
  readonly root: Register;
  readonly extra: readonly ExtraMount[];
}

/**
 * Make the rootfs from Create's mounts, or clone `root.path`. Throws InvalidSpec for mounts that cannot be one.
 * Source: shim contract, section 7.
 */
export function prepareRootfs(b: ProgramBuilder, plan: RootfsPlan): PreparedRootfs {
  let root: Register | undefined;
  const extra: ExtraMount[] = [];
  plan.rootfs.forEach((mount, i) => {
    const target = mount.target.replace(/^\/+/, "");
    const field = `rootfs[${i}] ${JSON.stringify(mount.type)}`;
    b.field = field;
    if (target === "" && root !== undefined)
      throw new InvalidSpec(field, "a second mount at the root is not supported");
    if (target !== "" && root === undefined) throw new InvalidSpec(field, "comes before the root", mount.target);
    const tree = prepareMount(b, mount, plan, () => field);
    if (target === "") root = tree;
    else extra.push({ tree, target, field });
  });
  root ??= cloneRootPath(b, plan);
  const propagation = plan.spec.linux.rootfsPropagation;
  const bound = plan.rootfs.length === 0 || plan.rootfs.some(({ type }) => type === "bind" || type === "rbind");
  if (bound) {
    b.field = "linux.rootfsPropagation";
    const flag = propagation?.flag === MS.PRIVATE ? MS.PRIVATE : MS.SLAVE;
    setAttributes(b, root, { set: 0, clear: 0, propagation: flag }, true);
  }
  return { root, extra };
}

/** No symlink below the bundle: the path is checked and used as one fd. */
function cloneRootPath(b: ProgramBuilder, { spec, bundle, host }: RootfsPlan): Register {
  b.field = `root.path ${JSON.stringify(spec.root.path)}`;
  const flags = O.PATH | O.CLOEXEC | O_BY_ARCH[host.architecture].DIRECTORY;
  const base = b.call("openat", [AT.FDCWD, b.data.string(bundle), flags], { action: "open bundle" });
  const directory = openAt(b, base, spec.root.path, flags, RESOLVE.NO_SYMLINKS | RESOLVE.NO_MAGICLINKS, {
    action: "open rootfs",
  });
  const clone = MOUNT.OPEN_TREE_CLONE | O.CLOEXEC | AT.RECURSIVE | AT.EMPTY_PATH;
  const tree = b.call("open_tree", [directory, b.data.string(""), clone]);
  b.release(base);
  b.release(directory);
  return tree;
}

function prepareMount(b: ProgramBuilder, mount: Mount, plan: RootfsPlan, field: () => string): Register {
  const options = parseMountOptions(mount.options, field);
  const isBind = options.bind !== "none" || mount.type === "bind" || mount.type === "rbind";
  if (options.remount) throw new InvalidSpec(field(), "remount is not supported here");
  if (isBind) {
    const recursive = options.bind === "rbind" || mount.type === "rbind";
    const tree = prepareBind(b, mount.source, options, recursive, undefined);
    if (options.idMappings !== undefined) mapTree(b, tree, options.idMappings, recursive);
    return tree;
  }
  if (options.idMappings !== undefined && mount.type !== "overlay")
    throw new InvalidSpec(field(), "only binds and overlays take uidmap and gidmap");
  if (mount.type === "") throw new InvalidSpec(field(), "no type");
  const data = mount.type === "overlay" ? overlayParameters(options.data, abilityOf(plan.host)) : options.data;
  const make = (): Register =>
    data === undefined
      ? mountOverlay(b, mount, options, plan.bundle)
      : createFileSystem(b, mount.type, fsParameters(mount.source, options, data), options.attributes.set);
  const { idMappings } = options;
  if (idMappings === undefined && data !== undefined) return make();
  return inOwnMounts(b, () => {
    if (idMappings !== undefined) mapLayers(b, lowerLayers(options.data), idMappings);
    return make();
  });
}

function abilityOf(host: HostFeatures): OverlayAbility {
  return { layerByLayer: kernelAtLeast(host, 6, 8), commas: kernelAtLeast(host, 6, 5) };
}

/**
 * Make a detached tree in a mount namespace of our own, in which nothing that is done is seen on the host. Then back: what is bound later is to be
 * the host's peer, if it wants to be. The working directory is then the root.
 */
function inOwnMounts(b: ProgramBuilder, make: () => Register): Register {
  const before = b.call("openat", [AT.FDCWD, b.data.string("/proc/self/ns/mnt"), O.RDONLY | O.CLOEXEC]);
  leaveHostMounts(b);
  const tree = make();
  b.sys("setns", [before, CLONE.NEWNS]);
  b.sys("close", [before]);
  b.release(before);
  return tree;
}

/**
 * An overlay by mount(2), which takes long options on every kernel: over the bundle, which is there for sure. What comes back is a detached clone of
 * it. In a mount namespace of our own.
 */
function mountOverlay(b: ProgramBuilder, mount: Mount, options: MountOptions, bundle: string): Register {
  const { directory, text } = overlayText(options.data, () => b.field);
  const [superblock] = options.superblock;
  if (superblock !== undefined) throw new InvalidSpec(b.field, "not of an overlay", superblock);
  const isReadonly = (options.attributes.set & ATTR.rdonly) !== 0;
  const place = b.data.string(bundle);
  b.sys("chdir", [b.data.string(directory === "" ? "/" : directory)], { action: "chdir to the layers" });
  const args = [b.data.string(mount.source), place, b.data.string("overlay"), isReadonly ? MOUNT.MS_RDONLY : 0];
  b.sys("mount", [...args, b.data.string(text)]);
  const tree = cloneTree(b, bundle, false);
  setAttributes(b, tree, { set: options.attributes.set, clear: 0, propagation: MS.PRIVATE });
  return tree;
}

/**
 * An overlay shows ids as its layers do: in a mount namespace of our own each lower one is covered by an idmapped clone of itself. The upper one
 * is the container's, and holds what it writes under its own ids. From Linux 5.19 on. Source: containerd's core/mount, idmapped overlays.
 */
function mapLayers(b: ProgramBuilder, layers: readonly string[], mappings: IdMappings): void {
  const none = b.data.string("");
  for (const layer of layers) {
    const tree = cloneTree(b, layer, false);
    mapTree(b, tree, mappings, false);
    const to = [AT.FDCWD, b.data.string(layer), MOUNT.MOVE_F_EMPTY_PATH];
    b.sys("move_mount", [tree, none, ...to], { action: "cover layer" });
    b.release(tree);
  }
}

/** Everything that a new file system is told: its source, its own options, its superblock's flags. */
export function fsParameters(source: string, options: MountOptions, data = options.data): FsParameter[] {
  const parameters: FsParameter[] = source === "" ? [] : [{ key: "source", value: source }];
  parameters.push(...data);
  for (const key of options.superblock) parameters.push({ key, value: undefined });
  if ((options.attributes.set & ATTR.rdonly) !== 0) parameters.push({ key: "ro", value: undefined });
  return parameters;
}

/**
 * A detached clone of a host path with its flags and propagation (`fallback` if the options name none): in the host's view, before
 * any namespace of the container's. `ownPeers`: one that is to be shared hears of the host's mounts, and the host does not of its.
 */
export function prepareBind(
  b: ProgramBuilder,
  source: string,
  options: MountOptions,
  recursive: boolean,
  fallback: Propagation | undefined,
  ownPeers = false,
): Register {
  const first = options.data[0];
  if (first !== undefined) throw new InvalidSpec(b.field, "a bind takes no option of a file system", first.key);
  const tree = cloneTree(b, source, recursive);
  const { attributes, recursive: below } = options;
  const given = options.propagation.filter(({ flag }) => flag !== MS.UNBINDABLE); // that comes last: it may not be attached to what is shared
  const wanted = given.length > 0 ? given : fallback === undefined ? [] : [fallback];
  if (ownPeers && given.some(({ flag }) => flag === MS.SHARED))
    setAttributes(b, tree, { set: 0, clear: 0, propagation: MS.SLAVE }, recursive);
  const [single] = wanted;
  if (wanted.length === 1 && single !== undefined && !single.recursive && !isEmpty(attributes)) {
    setAttributes(b, tree, { ...attributes, propagation: single.flag });
  } else {
    for (const { flag, recursive } of wanted)
      setAttributes(b, tree, { set: 0, clear: 0, propagation: flag }, recursive);
    if (!isEmpty(attributes)) setAttributes(b, tree, attributes);
  }
  if (!isEmpty(below)) setAttributes(b, tree, below, true);
  return tree;
}

function isEmpty(change: { readonly set: number; readonly clear: number }): boolean {
  return change.set === 0 && change.clear === 0;
}

/** Put the root on top of ours, make it the only one: nothing of the host's mounts is left in this namespace. */
export function pivot(b: ProgramBuilder, rootfs: PreparedRootfs): void {
  attachRoot(b, rootfs, b.data.string("/"), 0);
  pivotToPlaced(b, rootfs);
}

/**
 * Be where the root is to be attached for hooks, which want to see it and the host's root. While the host's paths are in reach: the kernel takes
 * the working directory along into a new mount namespace, and a user namespace's root need not find the way.
 */
export function enterPlace(b: ProgramBuilder, path: string): void {
  b.field = "root";
  b.sys("chdir", [b.data.string(path)], { action: "open rootfs" });
}

/** Attach the root over the working directory, with the host's root still there. */
export function placeRoot(b: ProgramBuilder, rootfs: PreparedRootfs): void {
  attachRoot(b, rootfs, b.data.string(""), MOUNT.MOVE_T_EMPTY_PATH);
}

function attachRoot(b: ProgramBuilder, { root, extra }: PreparedRootfs, place: Operand, flags: number): void {
  b.field = "root";
  slaveMounts(b);
  const none = b.data.string("");
  b.sys("move_mount", [root, none, AT.FDCWD, place, MOUNT.MOVE_F_EMPTY_PATH | flags], { action: "attach rootfs" });
  attachExtra(b, root, extra);
}

/** Second part: the placed root becomes the only one. */
export function pivotToPlaced(b: ProgramBuilder, { root }: PreparedRootfs): void {
  b.field = "root";
  const here = b.data.string(".");
  b.sys("fchdir", [root]);
  b.sys("pivot_root", [here, here]);
  b.sys("umount2", [here, MOUNT.MNT_DETACH]);
}

/** When everything is mounted: on a shared root each mount would be shared, too, and an unbindable one refused. */
export function setRootPropagation(b: ProgramBuilder, root: Operand, propagation: Propagation | undefined): void {
  if (propagation === undefined || propagation.flag === MS.PRIVATE || propagation.flag === MS.SLAVE) return;
  b.field = "linux.rootfsPropagation";
  setAttributes(b, root, { set: 0, clear: 0, propagation: propagation.flag }, propagation.recursive);
}

/** Put the mounts that go below a rootfs which is in place where they belong. */
export function attachExtra(b: ProgramBuilder, root: Register, extra: readonly ExtraMount[]): void {
  for (const { tree, target, field } of extra) {
    b.field = field;
    const at = resolve(b, root, target, MISSING.fail);
    attach(b, tree, at);
    b.release(at);
    b.release(tree);
  }
}

/**
 * Give a process a mount namespace of its own, in which the rootfs is mounted at `target`; the host's mount table knows nothing of it,
 * and what is mounted on the host later still arrives. For a program that wants to find its rootfs mounted, such as runsc.
 */
export function mountPrivately(b: ProgramBuilder, plan: RootfsPlan, target: string): void {
  b.field = "root";
  const none = b.data.string("");
  leaveHostMounts(b);
  const { root, extra } = prepareRootfs(b, plan);
  b.field = "root";
  const at = b.data.string(target);
  b.sys("move_mount", [root, none, AT.FDCWD, at, MOUNT.MOVE_F_EMPTY_PATH], { action: "attach rootfs" });
  attachExtra(b, root, extra);
  b.release(root);
}

/** Make what a rootfs, mounted at `target`, lacks of places to mount on: a fresh one for a container that is restored. Nothing leaves it. */
export function makeMountPoints(
  b: ProgramBuilder,
  target: string,
  points: readonly { readonly path: string; readonly isFile: boolean }[],
): void {
  b.field = "root";
  const root = b.call("openat", [AT.FDCWD, b.data.string(target), O.PATH | O.CLOEXEC], { action: "open rootfs" });
  for (const { path, isFile } of points) {
    b.field = `mounts ${JSON.stringify(path)}`;
    const made = resolve(b, root, path, isFile ? MISSING.makeFile : MISSING.makeDirectory, {
      mode: isFile ? 0o644 : 0o755,
    });
    b.sys("close", [made]);
    b.release(made);
  }
  b.sys("close", [root]);
  b.release(root);
}

/** A path on the host: relative ones are relative to the bundle. */
export function hostPath(bundle: string, path: string): string {
  return path.startsWith("/") ? path : join(bundle, path);
}
