import {
  type Cgroup,
  CgroupError,
  InvalidSpec,
  inInitialUserNamespace,
  type ProgramBuilder,
  type Spec,
} from "@trimaran/linux";
import { newProgram } from "@trimaran/shim-core";

// linux/prctl.h, linux/sched.h, fcntl.h
const PR_SET_DUMPABLE = 4;
const CLONE_NEWNS = 0x20000;
const CLONE_NEWUSER = 0x10000000;
const AT_FDCWD = -100;
const O_WRONLY = 1;
const O_CLOEXEC = 0o2000000;

const REFUSALS = new Set(["EACCES", "EPERM", "EROFS"]);

/** Who runs us, with which ids: root of the machine, root of a user namespace (as podman's own), or somebody without privileges. */
export interface Caller {
  readonly kind: "root" | "namespace root" | "user";
  readonly uid: number;
  readonly gid: number;
}

/** Tell them apart. */
export function toCaller(uid: number, gid: number): Caller {
  if (uid !== 0) return { kind: "user", uid, gid };
  return { kind: inInitialUserNamespace() ? "root" : "namespace root", uid, gid };
}

/** What a caller may not have, by the name of the field. Throws InvalidSpec: before anything is made. */
export function checkFor({ kind, uid, gid }: Caller, { linux }: Spec): void {
  if (kind !== "user") return;
  const user = linux.namespaces.get("user");
  const why = "root alone can do that: you are not root, so the container needs a user namespace of its own";
  if (user === undefined) throw new InvalidSpec("linux.namespaces", why);
  if (user.path !== undefined) throw new InvalidSpec("linux.namespaces user", "only root can join one", user.path);
  for (const [field, mappings, own] of [
    ["linux.uidMappings", linux.uidMappings, uid],
    ["linux.gidMappings", linux.gidMappings, gid],
  ] as const) {
    const other = mappings.findIndex(({ hostId, size }) => hostId !== own || size !== 1);
    if (other >= 0)
      throw new InvalidSpec(
        `${field}[${other}]`,
        `only root can map ids of others: as ${own} you can map ${own} alone (hostID ${own}, size 1)`,
      );
  }
}

/**
 * First steps of the monitor that makes a container, where it has no privileges: namespaces in which it has them. A user namespace that maps its own
 * ids to themselves, so that whatever root does for a container can be done in there; and a mount namespace, the only one in which it may mount.
 */
export function enterOwnNamespaces(b: ProgramBuilder, { kind, uid, gid }: Caller): void {
  if (kind === "root") return;
  b.field = "rootless";
  if (kind === "namespace root") {
    b.sys("unshare", [CLONE_NEWNS]);
    return;
  }
  ownProcSelf(b, kind);
  b.sys("unshare", [CLONE_NEWUSER | CLONE_NEWNS]);
  for (const [file, text] of [
    ["setgroups", "deny"],
    ["uid_map", `${uid} ${uid} 1`],
    ["gid_map", `${gid} ${gid} 1`],
  ] as const)
    write(b, `/proc/self/${file}`, text);
}

/** Whoever is not dumpable has a /proc/self that is root's. The launch program takes it back before it enters a container. */
export function ownProcSelf(b: ProgramBuilder, kind: Caller["kind"]): void {
  if (kind === "user") b.sys("prctl", [PR_SET_DUMPABLE, 1, 0, 0, 0]);
}

/** The maps of process `pid`, to be run in the monitor that `enterOwnNamespaces` has moved: only its user namespace may write them. */
export function mapsProgram(pid: number, { linux }: Spec): Uint8Array {
  const b = newProgram("linux.uidMappings");
  for (const [file, mappings] of [
    ["uid_map", linux.uidMappings],
    ["gid_map", linux.gidMappings],
  ] as const) {
    const lines = mappings.map(({ containerId, hostId, size }) => `${containerId} ${hostId} ${size}\n`);
    write(b, `/proc/${pid}/${file}`, lines.join(""));
  }
  return b.build().bytes;
}

function write(b: ProgramBuilder, path: string, text: string): void {
  const fd = b.call("openat", [AT_FDCWD, b.data.string(path), O_WRONLY | O_CLOEXEC], { action: `open ${path}` });
  b.sys("write", [fd, b.data.bytes(Buffer.from(text)), Buffer.byteLength(text)], { action: `write ${path}` });
  b.sys("close", [fd]);
  b.release(fd);
}

/**
 * Make a cgroup, or none, where the caller may not make one and the config does not ask for it: by a path, or by a limit. Device rules are no reason:
 * who is not root gets no device that the rules would keep away. Throws CgroupError.
 */
export function createCgroup(caller: Caller, spec: Spec, make: () => Cgroup, none: () => Cgroup): Cgroup {
  try {
    return make();
  } catch (error) {
    const isRefused = error instanceof CgroupError && REFUSALS.has(error.errno ?? "");
    if (caller.kind === "root" || !isRefused || asksForCgroup(spec)) throw error;
    return none();
  }
}

function asksForCgroup({ linux: { cgroupsPath, resources } }: Spec): boolean {
  if ((cgroupsPath ?? "") !== "") return true;
  const { devices: _, ...limits } = (resources ?? {}) as Record<string, unknown>;
  return Object.values(limits).some((limit) => !isEmpty(limit));
}

function isEmpty(value: unknown): boolean {
  return value === null || value === undefined || (typeof value === "object" && Object.values(value).every(isEmpty));
}
