import { existsSync, statSync } from "node:fs";
import { release } from "node:os";
import { type Architecture, toArchitecture } from "../syscall/numbers.ts";

/** PROC_USER_INIT_INO of the kernel's proc_ns.h: the same on every machine. */
const INITIAL_USER_NAMESPACE = 0xeffffffd;

/** What a compiled program depends on besides the spec. Read once per boot. */
export interface HostFeatures {
  readonly architecture: Architecture;
  /** Major and minor version. */
  readonly kernel: readonly [number, number];
  /** /proc/kcore exists: the link `/dev/core` is made. */
  readonly kcore: boolean;
  /** SELinux is on: labels mean something. */
  readonly selinux: boolean;
  /** We run in a user namespace ourselves, as below podman without root: no device node can be made. */
  readonly inUserNamespace: boolean;
  /** Inodes of the host's own namespaces: a container that joins one of them must not set its sysctls. */
  readonly namespaceInodes: Readonly<Record<"network" | "ipc" | "uts" | "user", number>>;
}

/** The running host; the caller is in its namespaces, as the monitor is. */
export function readHostFeatures(): HostFeatures {
  const [, major, minor] = /^([0-9]+)\.([0-9]+)/.exec(release()) ?? [];
  return {
    architecture: toArchitecture(process.arch),
    kernel: [Number(major ?? 0), Number(minor ?? 0)],
    kcore: existsSync("/proc/kcore"),
    selinux: existsSync("/sys/fs/selinux/enforce"),
    inUserNamespace: !inInitialUserNamespace(),
    namespaceInodes: { network: inode("net"), ipc: inode("ipc"), uts: inode("uts"), user: inode("user") },
  };
}

/** Whether nobody has made the user namespace that we are in. */
export function inInitialUserNamespace(): boolean {
  return inode("user") === INITIAL_USER_NAMESPACE;
}

/** True if the kernel is at least this version. */
export function kernelAtLeast(host: HostFeatures, major: number, minor: number): boolean {
  return host.kernel[0] > major || (host.kernel[0] === major && host.kernel[1] >= minor);
}

function inode(namespace: string): number {
  return statSync(`/proc/self/ns/${namespace}`).ino;
}
