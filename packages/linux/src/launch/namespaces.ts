import type { Linux, Namespace, NamespaceKind } from "../spec/linux.ts";
import { NAMESPACE_FLAG } from "../spec/tables.ts";
import { AT, CLONE, IOCTL, O, PRCTL } from "./constants.ts";
import type { HostFeatures } from "./host.ts";
import { CHECK, SYNC_CODE } from "./opcodes.ts";
import type { ProgramBuilder, Register } from "./program.ts";
import { writeProcSelf } from "./stage.ts";
import { check } from "./tree.ts";

/** An opened namespace to be joined. */
export interface OpenNamespace {
  readonly kind: NamespaceKind;
  readonly fd: Register;
  readonly field: string;
}

/** CLONE_NEW… bits of the namespaces that are to be made, without those in `except`. */
export function newFlags(linux: Linux, except: readonly NamespaceKind[]): number {
  let flags = 0;
  for (const { kind, path } of linux.namespaces.values()) {
    if (path === undefined && !except.includes(kind)) flags |= NAMESPACE_FLAG[kind];
  }
  return flags;
}

/** True if this kind is to be made. */
export function isNew(linux: Linux, kind: NamespaceKind): boolean {
  const namespace = linux.namespaces.get(kind);
  return namespace !== undefined && namespace.path === undefined;
}

/** True if this kind is to be joined. */
export function isJoined(linux: Linux, kind: NamespaceKind): boolean {
  return linux.namespaces.get(kind)?.path !== undefined;
}

/**
 * The program needs a second process: a user namespace (host work comes first, by a process outside), a pid or time namespace
 * that only children enter.
 */
export function needsStage(linux: Linux): boolean {
  return linux.namespaces.has("user") || linux.namespaces.has("time") || isJoined(linux, "pid");
}

function fieldOf({ index, kind }: Namespace): string {
  return `linux.namespaces[${index}] ${JSON.stringify(kind)}`;
}

/** Open every path and check that it is a namespace of that kind: before any of them is entered. */
export function openNamespaces(b: ProgramBuilder, linux: Linux, host: HostFeatures): OpenNamespace[] {
  const opened: OpenNamespace[] = [];
  for (const namespace of linux.namespaces.values()) {
    if (namespace.path === undefined) continue;
    const field = `${fieldOf(namespace)} path ${JSON.stringify(namespace.path)}`;
    b.field = field;
    const flags = O.RDONLY | O.NONBLOCK | O.NOCTTY | O.CLOEXEC;
    const fd = b.call("openat", [AT.FDCWD, b.data.string(namespace.path), flags], { action: "open namespace" });
    check(b, fd, CHECK.namespace, NAMESPACE_FLAG[namespace.kind], { action: "NS_GET_NSTYPE" });
    refuseHostSysctls(b, linux, host, namespace.kind, fd);
    opened.push({ kind: namespace.kind, fd, field });
  }
  return opened;
}

/** Sysctls of a namespace that turns out to be the host's would change the host. */
function refuseHostSysctls(
  b: ProgramBuilder,
  linux: Linux,
  host: HostFeatures,
  kind: NamespaceKind,
  fd: Register,
): void {
  if (!(kind === "network" || kind === "ipc" || kind === "uts" || kind === "user")) return;
  const sysctl = linux.sysctl.find((one) => one.kind === kind);
  if (sysctl === undefined) return;
  b.field = `linux.sysctl ${JSON.stringify(sysctl.name)}`;
  const isHost = check(b, fd, CHECK.inode, host.namespaceInodes[kind], { tolerate: ["EXDEV"] });
  check(b, fd, CHECK.type, 0, { action: "refuse the host's namespace" });
  b.skipOnError(isHost);
}

/** setns(2) into the opened ones of these kinds. */
export function join(b: ProgramBuilder, opened: readonly OpenNamespace[], kinds: readonly NamespaceKind[]): void {
  for (const kind of kinds) {
    const namespace = opened.find((one) => one.kind === kind);
    if (namespace === undefined) continue;
    b.field = namespace.field;
    b.sys("setns", [namespace.fd, NAMESPACE_FLAG[kind]]);
    b.release(namespace.fd);
  }
}

/** A new time namespace with its offsets; children enter it. While we may write the host's /proc. */
export function makeTimeNamespace(b: ProgramBuilder, linux: Linux): void {
  if (!isNew(linux, "time")) return;
  b.field = "linux.timeOffsets";
  b.sys("unshare", [CLONE.NEWTIME]);
  const lines = [...linux.timeOffsets].map(([clock, { secs, nanosecs }]) => `${clock} ${secs} ${nanosecs}\n`);
  if (lines.length > 0) writeProcSelf(b, "timens_offsets", lines.join(""));
}

/** A new user namespace: the task server writes the maps while we wait. Or the joined one. Then its root. */
export function enterUserNamespace(b: ProgramBuilder, linux: Linux, opened: readonly OpenNamespace[]): void {
  if (!linux.namespaces.has("user")) return;
  join(b, opened, ["user"]);
  if (isNew(linux, "user")) {
    b.field = "linux.uidMappings";
    b.sys("unshare", [CLONE.NEWUSER]);
    b.op("SYNC", [SYNC_CODE.MAPPED, 0, -1, 255, b.data.string(""), 0], { action: "write the maps" });
    b.sys("prctl", [PRCTL.SET_DUMPABLE, 0, 0, 0, 0]); // an unprivileged caller's is, until its maps are written
  }
  b.field = "linux.uidMappings";
  b.sys("setresgid", [0, 0, 0], { tolerate: ["EINVAL"] });
  b.sys("setgroups", [0, 0], { tolerate: ["EPERM"] });
  b.sys("setresuid", [0, 0, 0], { tolerate: ["EINVAL"] });
}

const IFF_UP_RUNNING = 0x41;

/** Bring `lo` up in the network namespace that we just made. */
export function raiseLoopback(b: ProgramBuilder, linux: Linux): void {
  if (isNew(linux, "network")) bringLoopbackUp(b);
}

/** The same in the network namespace of a process. */
export function raiseLoopbackOf(b: ProgramBuilder, pid: number): void {
  b.field = "linux.namespaces network";
  const path = b.data.string(`/proc/${pid}/ns/net`);
  const fd = b.call("openat", [AT.FDCWD, path, O.RDONLY | O.CLOEXEC], { action: "open namespace" });
  b.sys("setns", [fd, CLONE.NEWNET]);
  b.release(fd);
  bringLoopbackUp(b);
}

function bringLoopbackUp(b: ProgramBuilder): void {
  b.field = "linux.namespaces network";
  const request = new Uint8Array(40);
  request.set([0x6c, 0x6f]); // "lo"
  request[16] = IFF_UP_RUNNING;
  const socket = b.call("socket", [2, 2 | O.CLOEXEC, 0]); // AF_INET, SOCK_DGRAM
  b.sys("ioctl", [socket, IOCTL.SIOCSIFFLAGS, b.data.bytes(request)], { action: "bring lo up" });
  b.release(socket);
}
