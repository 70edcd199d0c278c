import { ATTR } from "../mount/mount.ts";
import { InvalidSpec } from "../spec/invalid-spec.ts";
import type { Spec } from "../spec/spec.ts";
import { makeConsole } from "./console.ts";
import { AT, CLONE, O } from "./constants.ts";
import { makeDevices, prepareDevices, reopenNull } from "./devices.ts";
import { hasHooksBeforePivot, runHooksBeforePivot } from "./hooks.ts";
import type { HostFeatures } from "./host.ts";
import { becomeProcess, waitAtGate } from "./identity.ts";
import { maskPaths, prepareMasks, protectPaths } from "./masks.ts";
import { attachMounts, createKernelMounts, prepareMounts, sealMounts } from "./mounts.ts";
import * as namespaces from "./namespaces.ts";
import { takeDevices } from "./net-devices.ts";
import { MISSING } from "./opcodes.ts";
import type { InitPlan } from "./plan.ts";
import { type Operand, type Program, ProgramBuilder, type Register } from "./program.ts";
import { enterPlace, hostPath, pivot, pivotToPlaced, placeRoot, prepareRootfs, setRootPropagation } from "./rootfs.ts";
import * as stage from "./stage.ts";
import { createFileSystem, openAt, resolve, setAttributes, writeText } from "./tree.ts";

const DEFAULT_UMASK = 0o022;

/**
 * The program that makes a container and stops at the start gate; its last step is execve. One process if it can, two where
 * namespaces demand it (`needsStage`). Throws InvalidSpec for what cannot be compiled.
 * Order: runtime checklist, section 1.0 and 2.4.
 */
export function compileInit(plan: InitPlan): Program {
  const { spec, stdio, cgroup, host } = plan;
  const { linux, process } = spec;
  refuseMissingModules(spec, host);
  const b = new ProgramBuilder(host.architecture, { timed: plan.timed === true });
  const staged = namespaces.needsStage(linux);
  b.field = "prelude";
  plan.prelude?.(b);
  b.field = "stdio";
  stdio.prelude(b);
  cloneInit(b, plan, staged);
  stage.takeStdio(b, stdio);
  stage.takeExtra(b, plan.gate, plan.preserved ?? []);
  stage.closeAllBut(b, []);
  b.field = "process";
  b.sys("umask", [0]);
  stage.setAffinity(b, undefined, "process");
  stage.setOomScore(b, process);
  if (process !== undefined) {
    if (linux.namespaces.has("user")) stage.setLimits(b, process, "early");
    stage.ownStdio(b, stdio, stage.hostUid(linux, process));
  }
  stage.attachCgroup(b, cgroup);
  stage.joinResctrl(b, plan.resctrlTasks);
  const root =
    linux.namespaces.get("mount")?.path === undefined ? buildRoot(b, plan, staged) : enterJoined(b, plan, staged);
  if (process === undefined) {
    b.field = "process";
    stage.closeAllBut(b, []);
    b.tellTimes();
    waitAtGate(b, plan.gate ?? "monitor");
    b.op("EXIT", [255]);
    return b.build();
  }
  becomeProcess(b, {
    id: plan.id,
    process,
    seccomp: plan.seccomp,
    newKeyring: plan.newKeyring !== false,
    inUserNamespace: linux.namespaces.has("user"),
    umask: process.user.umask ?? DEFAULT_UMASK,
    personality: linux.personality,
    memoryPolicy: linux.memoryPolicy,
    gate: plan.gate ?? "monitor",
    startHooks: { hooks: spec.hooks.startContainer, subject: plan },
    isInit: true,
    root,
  });
  return b.build();
}

/** A label that nobody enforces would be a promise that nobody keeps. */
function refuseMissingModules({ linux }: Spec, host: HostFeatures): void {
  if (linux.mountLabel !== undefined && !host.selinux)
    throw new InvalidSpec("linux.mountLabel", "the kernel has no SELinux", linux.mountLabel);
}

/** A user namespace must come before all that it shall own; pid and time belong to the second clone. */
function cloneInit(b: ProgramBuilder, { spec: { linux }, stdio, cgroup }: InitPlan, staged: boolean): void {
  const hasUser = linux.namespaces.has("user");
  const flags = hasUser ? 0 : namespaces.newFlags(linux, staged ? ["pid", "time", "cgroup"] : ["cgroup"]);
  const early = !hasUser && namespaces.isNew(linux, "cgroup") && cgroup.attachFiles.length === 0;
  stage.cloneFirst(b, flags | (early ? CLONE.NEWCGROUP : 0), cgroup.into, stage.stdioSlots(stdio));
}

/** The cgroup namespace's root is the cgroup of the moment: after the v1 attach. */
function lateFlags({ spec: { linux }, cgroup }: InitPlan): number {
  if (linux.namespaces.has("user")) return namespaces.newFlags(linux, ["user", "pid", "time"]);
  const isLate = namespaces.isNew(linux, "cgroup") && cgroup.attachFiles.length > 0;
  return isLate ? CLONE.NEWCGROUP : 0;
}

function unshareLate(b: ProgramBuilder, plan: InitPlan): void {
  const flags = lateFlags(plan);
  b.field = "linux.namespaces";
  if (flags !== 0) b.sys("unshare", [flags]);
}

/** From host paths to a finished root that we stand in. */
function buildRoot(b: ProgramBuilder, plan: InitPlan, staged: boolean): Register {
  const { spec, host } = plan;
  const { linux } = spec;
  const opened = namespaces.openNamespaces(b, linux, host);
  const rootfs = prepareRootfs(b, plan);
  const mounts = prepareMounts(b, plan);
  const masks = prepareMasks(b, spec);
  const devices = prepareDevices(b, spec, host);
  // Hooks and copies of the image's content want the host's root in sight until the mounts are done.
  const late = hasHooksBeforePivot(spec) || mounts.some(({ options }) => options.copyUp);
  if (late) enterPlace(b, hostPath(plan.bundle, spec.root.path));
  namespaces.makeTimeNamespace(b, linux);
  namespaces.join(b, opened, ["network", "ipc", "uts", "cgroup", "time"]);
  const hasUser = linux.namespaces.has("user");
  if (hasUser && namespaces.isJoined(linux, "pid")) namespaces.join(b, opened, ["pid"]);
  namespaces.enterUserNamespace(b, linux, opened);
  unshareLate(b, plan);
  namespaces.raiseLoopback(b, linux);
  takeDevices(b, plan);
  // With a user namespace the kernel wants to see the host's proc while ours is made: the pivot waits. Without, no process
  // enters somebody's pid namespace while it can see the host's mounts.
  if (staged && !hasUser && !late) pivot(b, rootfs);
  if (staged) {
    if (!hasUser) namespaces.join(b, opened, ["pid"]);
    stage.cloneSibling(b, namespaces.isNew(linux, "pid") ? CLONE.NEWPID : 0);
  }
  b.field = "process";
  b.sys("setsid", []);
  createKernelMounts(b, mounts);
  if (late) placeRoot(b, rootfs);
  else if (!staged || hasUser) pivot(b, rootfs);
  const { root } = rootfs;
  const own = attachMounts(b, plan, root, mounts);
  const dev = makeDevices(b, spec, host, root, own, devices);
  if (plan.stdio.kind === "slots" && dev !== undefined && own.fds.has("/dev")) reopenNull(b, host, dev);
  if (late) {
    runHooksBeforePivot(b, spec, plan);
    pivotToPlaced(b, rootfs);
  }
  makeCwd(b, spec, root);
  makeConsole(b, plan.stdio, host, {
    pts: own.fds.get("/dev/pts"),
    root,
    dev: own.fds.get("/dev"),
    uid: spec.process?.user.uid ?? 0,
  });
  sealMounts(b, own);
  setNames(b, spec);
  writeSysctls(b, spec);
  protectPaths(b, spec, root, own);
  maskPaths(b, spec, root, own, masks);
  setRootPropagation(b, root, linux.rootfsPropagation);
  if (spec.root.readonly) {
    b.field = "root.readonly";
    setAttributes(b, root, { set: ATTR.rdonly, clear: 0 });
  }
  return root;
}

/** A mount namespace of somebody else's: its root is ours, and `mounts` are not made (as in runc). */
function enterJoined(b: ProgramBuilder, plan: InitPlan, staged: boolean): Operand {
  const { host } = plan;
  const { linux } = plan.spec;
  const opened = namespaces.openNamespaces(b, linux, host);
  namespaces.makeTimeNamespace(b, linux);
  namespaces.join(b, opened, ["network", "ipc", "uts", "cgroup", "time", "pid", "mount"]);
  namespaces.enterUserNamespace(b, linux, opened);
  unshareLate(b, plan);
  namespaces.raiseLoopback(b, linux);
  takeDevices(b, plan);
  if (staged) stage.cloneSibling(b, namespaces.isNew(linux, "pid") ? CLONE.NEWPID : 0);
  b.field = "process";
  b.sys("setsid", []);
  const root = b.call("openat", [AT.FDCWD, b.data.string("/"), O.PATH | O.CLOEXEC], { action: "open /" });
  makeConsole(b, plan.stdio, plan.host, {
    pts: undefined,
    root,
    dev: undefined,
    uid: plan.spec.process?.user.uid ?? 0,
  });
  setNames(b, plan.spec);
  return root;
}

/** As runc does: a working directory that is missing is made. */
function makeCwd(b: ProgramBuilder, { process }: Spec, root: Register): void {
  if (process === undefined || process.cwd === "/") return;
  b.field = `process.cwd ${JSON.stringify(process.cwd)}`;
  const made = resolve(b, root, process.cwd, MISSING.makeDirectory, { mode: 0o755, tolerate: ["EACCES", "EPERM"] });
  b.release(made);
}

function setNames(b: ProgramBuilder, { hostname, domainname }: Spec): void {
  if (hostname !== undefined) {
    b.field = "hostname";
    b.sys("sethostname", [b.data.string(hostname), Buffer.byteLength(hostname)]);
  }
  if (domainname !== undefined) {
    b.field = "domainname";
    b.sys("setdomainname", [b.data.string(domainname), Buffer.byteLength(domainname)]);
  }
}

/** Through a procfs of our own that is attached nowhere: nobody can have put anything over it. */
function writeSysctls(b: ProgramBuilder, { linux }: Spec): void {
  if (linux.sysctl.length === 0) return;
  b.field = "linux.sysctl";
  const proc = createFileSystem(b, "proc", [], 0);
  for (const { name, file, value } of linux.sysctl) {
    b.field = `linux.sysctl ${JSON.stringify(name)}`;
    const fd = openAt(b, proc, `sys/${file}`, O.WRONLY, undefined, { action: "open sysctl" });
    writeText(b, fd, value);
    b.release(fd);
  }
  b.release(proc);
}
