import {
  compileInit,
  compileLimitsV2,
  HOOK_KINDS,
  type Limit,
  type Program,
  type ProgramBuilder,
  parseResources,
  type Spec,
} from "@trimaran/linux";
import { type RootfsMount, SLOT, type StdioUris, watchOom } from "@trimaran/shim-core";
import { cgroupDirectory, GUEST, planPipes, toldSlots } from "../exec/program.ts";
import { guestPath } from "../storage/layout.ts";

// asm-generic/fcntl.h
const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const S_IFIFO_0600 = 0o010600;
const O_CLOEXEC = 0o2000000;
/** Of a machine's first container, which may have one: the agent opens it, too. */
export const FIRST_STDIN = "/run/first.stdin";
const CGROUP_MODE = 0o755;

/** A machine's first container, as its guest is to have it. */
export interface GuestInit {
  readonly id: string;
  /** With paths of the guest, and its cgroup's path. */
  readonly spec: Spec;
  readonly rootfs: readonly RootfsMount[];
  readonly stdio: StdioUris;
}

/** Below the one that the agent has made for it: kata-agent, src/guest/first-cgroup.ts. */
export function firstCgroup(id: string): string {
  return `/.first/${id}`;
}

/** Slots whose bytes are wanted on the host. */
export function toldSlotsOfInit(stdio: StdioUris): number[] {
  return [...toldSlots(stdio), SLOT.watch];
}

/**
 * Whether the guest's monitor can make it by itself: what needs somebody to talk to while it is made (hooks, mappings, terminals), or somebody who tidies up after it
 * (no pid namespace of its own), is the agent's. `spec`: of the bundle, or of the guest.
 */
export function isDirectInit({ hooks, linux, process }: Spec, resources: unknown, stdio: StdioUris): boolean {
  const { namespaces } = linux;
  const isNew = (type: "pid" | "mount"): boolean => namespaces.has(type) && namespaces.get(type)?.path === undefined;
  return (
    !stdio.terminal &&
    process !== undefined &&
    isNew("pid") &&
    isNew("mount") &&
    !namespaces.has("user") &&
    !namespaces.has("time") &&
    HOOK_KINDS.every((kind) => hooks[kind].length === 0) &&
    limitsOf(resources).every(isPlain)
  );
}

/** Compile it for the guest's monitor: up to the start gate. `resources`: of config.json, for a guest. Throws InvalidSpec, CgroupError. */
export function compileGuestInit({ id, spec, rootfs, stdio }: GuestInit, resources: unknown): Program {
  const directory = cgroupDirectory(spec.linux.cgroupsPath ?? "");
  return compileInit({
    id,
    spec,
    bundle: guestPath(id, "rootfs"), // its root is an absolute path
    rootfs,
    stdio: planPipes(stdio, stdio.stdin === "" ? undefined : openStdin),
    cgroup: { attachFiles: [], into: directory, ownDirs: [{ name: "", path: directory }] },
    netDevices: [],
    host: GUEST,
    prelude(builder) {
      makeCgroup(builder, directory, limitsOf(resources));
      watchOom(builder, { kind: "inotify", path: `${directory}/memory.events` });
    },
  });
}

/** A FIFO, of which the monitor keeps a writer until somebody else is one, or until its end. Opened for both first: so no open has to wait for another. */
function openStdin(builder: ProgramBuilder): void {
  const { data } = builder;
  const path = data.string(FIRST_STDIN);
  builder.sys("mknodat", [AT_FDCWD, path, S_IFIFO_0600, 0]);
  const both = builder.call("openat", [AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0]);
  for (const [access, slot] of [
    [O_RDONLY, SLOT.childStdin],
    [O_WRONLY, SLOT.stdinHold],
  ] as const) {
    const fd = builder.call("openat", [AT_FDCWD, path, access | O_CLOEXEC, 0]);
    builder.op("KEEP", [fd, slot]);
    builder.release(fd);
  }
  builder.sys("close", [both]);
  builder.release(both);
}

function limitsOf(resources: unknown): readonly Limit[] {
  return compileLimitsV2(parseResources(resources) ?? {}, () => undefined);
}

/** One write and no more: what the kernel may answer otherwise, or lack, is the agent's. */
function isPlain({ partner, otherwise, readBack, optional, isDefault }: Limit): boolean {
  return isDefault === true || (!partner && !otherwise && readBack !== true && optional !== true);
}

function makeCgroup(builder: ProgramBuilder, directory: string, limits: readonly Limit[]): void {
  const { data } = builder;
  builder.field = "linux.cgroupsPath";
  builder.sys("mkdirat", [AT_FDCWD, data.string(directory), CGROUP_MODE]);
  for (const { field, file, text, isDefault } of limits) {
    if (isDefault === true) continue;
    builder.field = `${field} ${text}`;
    const path = data.string(`${directory}/${file}`);
    const fd = builder.call("openat", [AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0], { action: `open ${file}` });
    builder.sys("write", [fd, data.string(text), Buffer.byteLength(text)], { action: `write ${file}` });
    builder.sys("close", [fd]);
    builder.release(fd);
  }
}
