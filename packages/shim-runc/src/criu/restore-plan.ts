import { closeSync, constants, openSync, readFileSync, renameSync, writeFileSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import {
  type CgroupPlan,
  type HostFeatures,
  type Mount,
  makeMountPoints,
  mountPrivately,
  type ProgramBuilder,
  raiseLoopbackOf,
  type Spec,
} from "@trimaran/linux";
import { newProgram } from "@trimaran/shim-core";
import { networkFd, type Restore, restoreArguments } from "./arguments.ts";
import { pipesOf } from "./descriptors.ts";
import { externalMounts, type MountedContainer, maybeMasked, mountPoints } from "./mounts.ts";
import { placeFd } from "./place-fd.ts";
import { restoreRequest } from "./requests.ts";
import type { CriuRun } from "./run.ts";
import { asService, SERVICE_FDS } from "./service.ts";

const CLONE_ARGS_BYTES = 88;
const AT_FDCWD = -100;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const S_IFIFO = 0o010000;
/** Free for a runtime: the monitor watches it, and tells when the script has written. */
export const NEWS_SLOT = 22;
const NETWORK_FD = 10;
const PID = "restored.pid";
const NEWS = "restored.news";
const VERDICT = "restored.verdict";

/**
 * What criu runs when everything is there and nothing has run yet: init's pid is written down, the monitor told, and the verdict awaited. So
 * the monitor has adopted init before it can end. A verdict other than `go`, or none, and criu takes it all back.
 */
const SCRIPT = `#!/bin/sh
[ "$CRTOOLS_SCRIPT_ACTION" = post-restore ] || exit 0
cd "$TRIMARAN_RESTORE" || exit 1
echo "$CRTOOLS_INIT_PID" > ${PID}.new && mv ${PID}.new ${PID} || exit 1
exec 3<>${VERDICT}
echo > ${NEWS}
read -r verdict <&3
[ "$verdict" = go ]
`;

/** All that criu and its surroundings are made from. */
export interface RestorePlan {
  readonly criu: string;
  readonly searchPath: string;
  /** The checkpoint. */
  readonly images: string;
  /** Where the log goes. Exists. */
  readonly work: string;
  /** What belongs to this restore is in here. Exists, and is empty. */
  readonly folder: string;
  /** Where the rootfs is mounted, for criu alone; a directory that is there. */
  readonly target: string;
  readonly rootfs: readonly Mount[];
  readonly bundle: string;
  readonly spec: Spec;
  readonly cgroup: CgroupPlan;
  readonly mounted: MountedContainer;
  readonly features: HostFeatures;
  /** Its terminal has to be handed over. */
  readonly hasTerminal: boolean;
}

/** The run of criu's that restores: it waits at the gate, with the rootfs mounted. */
export interface RestoreRun extends CriuRun {
  /** What criu's service is to be asked. Undefined where it is none: then NEWS_SLOT tells that init is there, and a verdict is waited for. */
  readonly request: (() => Uint8Array) | undefined;
}

/** Only criu's service hands terminals over; without one everything goes by arguments and a script, and nobody has to be there to talk to it. */
export function toRun(plan: RestorePlan, key: string): RestoreRun {
  const { criu, searchPath, work, folder, hasTerminal } = plan;
  const network = joinedNetwork(plan.spec) === undefined ? [] : [NETWORK_FD];
  const run = { key, name: "restore", criu, searchPath, work, gate: true } as const;
  if (hasTerminal) {
    const { args, inherited, setup } = asService(plan);
    return {
      ...run,
      args,
      request: () => restoreRequest(toRestore(plan), SERVICE_FDS),
      setup(builder) {
        setUp(builder, plan);
        setup(builder);
      },
      inherited: [...network, ...inherited],
    };
  }
  return {
    ...run,
    args: restoreArguments(toRestore(plan), scriptPath(folder)),
    request: undefined,
    env: [`TRIMARAN_RESTORE=${folder}`],
    setup(builder) {
      setUp(builder, plan);
      placeScript(builder, folder);
    },
    inherited: network,
    prelude: (builder) => makeFifos(builder, folder),
    watches: [NEWS_SLOT],
  };
}

/** Write down init's pid, as the script does where there is one. */
export function noteRestoredPid(folder: string, pid: number): void {
  writeFileSync(`${folder}/${PID}.new`, String(pid));
  renameSync(`${folder}/${PID}.new`, `${folder}/${PID}`);
}

/** Init's pid, as it has been written down; undefined before. */
export function restoredPid(folder: string): number | undefined {
  try {
    return Number(readFileSync(`${folder}/${PID}`, "utf8"));
  } catch {
    return undefined;
  }
}

/** Tell the script, if it is there: it may have heard it before, or criu may not have come that far. */
export function tellVerdict(folder: string, verdict: "go" | "no"): void {
  let fd: number;
  try {
    fd = openSync(`${folder}/${VERDICT}`, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (["ENXIO", "ENOENT"].includes((error as NodeJS.ErrnoException).code ?? "")) return;
    throw error;
  }
  try {
    writeSync(fd, `${verdict}\n`);
  } finally {
    closeSync(fd);
  }
}

/** A process that brings `lo` up in what was restored: criu makes a network namespace that is empty, as a new one is. */
export function loopbackProgram(pid: number): Uint8Array {
  const builder = newProgram("linux.namespaces network");
  builder.op("CLONE", [builder.data.space(CLONE_ARGS_BYTES), 0, 0]);
  raiseLoopbackOf(builder, pid);
  builder.op("EXIT", [0]);
  return builder.build().bytes;
}

/** Whether the network namespace is made for the container. */
export function ownsNetwork({ linux }: Spec): boolean {
  const network = linux.namespaces.get("network");
  return network !== undefined && network.path === undefined;
}

function joinedNetwork({ linux }: Spec): string | undefined {
  return linux.namespaces.get("network")?.path;
}

function toRestore({ images, work, target, spec, cgroup, mounted }: RestorePlan): Restore {
  const below = (directory: string, mountPoint: string) => directory.slice(mountPoint.replace(/\/+$/, "").length);
  const { unified, unifiedMountPoint = "" } = cgroup;
  return {
    images,
    work,
    root: target,
    mounts: [...externalMounts(mounted), ...maybeMasked(spec)],
    cgroups: [
      ...cgroup.hierarchies.flatMap(({ controllers, mountPoint, directory }) =>
        controllers.map((name) => ({ controllers: name, path: below(directory, mountPoint) })),
      ),
      ...(unified === undefined ? [] : [{ controllers: "", path: below(unified, unifiedMountPoint) }]),
    ],
    inherited: [
      ...pipesOf(images).flatMap((name, fd) => (name.startsWith("pipe:[") ? [{ fd, name }] : [])),
      ...(joinedNetwork(spec) === undefined ? [] : [networkFd(NETWORK_FD)]),
    ],
    emptyNetwork: ownsNetwork(spec),
  };
}

function setUp(builder: ProgramBuilder, { target, rootfs, bundle, spec, features, mounted }: RestorePlan): void {
  const network = joinedNetwork(spec);
  mountPrivately(builder, { rootfs, bundle, host: features, spec }, target);
  makeMountPoints(builder, target, mountPoints(mounted));
  if (network === undefined) return;
  builder.field = "linux.namespaces network";
  const fd = builder.call("openat", [AT_FDCWD, builder.data.string(network), O_CLOEXEC], { action: "open namespace" });
  placeFd(builder, fd, NETWORK_FD);
  builder.release(fd);
}

/** criu executes a file, and folders may be where nothing may be executed: in its own mount namespace this one is a tmpfs. */
function placeScript(builder: ProgramBuilder, folder: string): void {
  const { data } = builder;
  const type = data.string("tmpfs");
  const path = scriptPath(folder);
  builder.field = "checkpoint";
  builder.sys("mkdirat", [AT_FDCWD, data.string(dirname(path)), 0o700]);
  builder.sys("mount", [type, data.string(dirname(path)), type, 0, data.string("mode=700")]);
  const flags = O_WRONLY | O_CREAT | O_CLOEXEC;
  const file = builder.call("openat", [AT_FDCWD, data.string(path), flags, 0o700]);
  builder.sys("write", [file, data.string(SCRIPT), Buffer.byteLength(SCRIPT)]);
  builder.sys("close", [file]);
  builder.release(file);
}

function scriptPath(folder: string): string {
  return `${folder}/bin/restored`;
}

/** Opened for both directions, so that neither side waits for the other, and what was written before a restart is there after it. */
function makeFifos(builder: ProgramBuilder, folder: string): void {
  builder.field = "checkpoint";
  for (const name of [NEWS, VERDICT])
    builder.sys("mknodat", [AT_FDCWD, builder.data.string(`${folder}/${name}`), S_IFIFO | 0o600, 0]);
  const path = builder.data.string(`${folder}/${NEWS}`);
  const fd = builder.call("openat", [AT_FDCWD, path, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0]);
  builder.op("KEEP", [fd, NEWS_SLOT]);
  builder.release(fd);
}
