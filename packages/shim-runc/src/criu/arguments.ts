import type { CheckpointRequest } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";

/** What a checkpoint may be asked for. */
export type CheckpointWishes = Pick<
  CheckpointRequest,
  "openTcp" | "externalUnixSockets" | "terminal" | "fileLocks" | "emptyNamespaces" | "cgroupsMode"
>;

/** Files of one run of criu's. */
export interface CriuPlace {
  /** The checkpoint itself. */
  readonly images: string;
  /** Logs, and what criu keeps for a moment. */
  readonly work: string;
}

/** A container's mount whose content is the host's. */
export interface ExternalMount {
  /** Where the container has it; what the checkpoint calls it, too, as runc has it. */
  readonly target: string;
  /** On the host. */
  readonly source: string;
}

/** What `criu dump` is told. */
export interface Dump extends CriuPlace {
  readonly pid: number;
  readonly leaveRunning: boolean;
  readonly mounts: readonly string[];
  /** Files over which the host's /dev/null lies. */
  readonly masked: readonly string[];
  /** Inode of a network namespace that is not the container's own. */
  readonly network: string | undefined;
  /** The freezer's directory: nothing forks while it is looked at. */
  readonly freezer: string | undefined;
  readonly wishes: CheckpointWishes;
}

/** What `criu restore` is told. */
export interface Restore extends CriuPlace {
  /** Where the rootfs is mounted. */
  readonly root: string;
  readonly mounts: readonly ExternalMount[];
  /** Controllers (none: all, on v2) and the cgroup's path in their hierarchy. */
  readonly cgroups: readonly { readonly controllers: string; readonly path: string }[];
  /** Names of what was outside of the container, and the fds that stand for it. */
  readonly inherited: readonly { readonly fd: number; readonly name: string }[];
  readonly emptyNetwork: boolean;
}

/** Of the kinds that containerd and runc name, what criu can make anew. */
const EMPTY: ReadonlyMap<string, string> = new Map([
  ["network", "net"],
  ["net", "net"],
]);
const CGROUP_MODES = new Set(["soft", "full", "strict", "ignore"]);
/** What the checkpoint calls the network namespace of somebody else's. runc's name. */
const NETWORK = "extRootNetNS";
/** What it calls each masked file: as runc does, so that either restores what the other has saved. */
export const NULL = "/dev/null";
/** As much as criu can say. */
export const LOG_LEVEL = 4;

export const DUMP_LOG = "dump.log";
export const RESTORE_LOG = "restore.log";
/** Which of the container's pipes were its 0, 1, 2: a list of three texts, as runc has it. */
export const DESCRIPTORS = "descriptors.json";

/** Arguments of `criu dump`. Throws InvalidArgument for a wish that cannot be. */
export function dumpArguments(dump: Dump): string[] {
  const { openTcp, externalUnixSockets, terminal, fileLocks } = dump.wishes;
  return [
    "dump",
    `--tree=${dump.pid}`,
    ...place(dump, DUMP_LOG),
    `--manage-cgroups=${cgroupsMode(dump.wishes.cgroupsMode)}`,
    ...(dump.freezer === undefined ? [] : [`--freeze-cgroup=${dump.freezer}`]),
    ...(dump.leaveRunning ? ["--leave-running"] : []),
    ...(openTcp ? ["--tcp-established"] : []),
    ...(externalUnixSockets ? ["--ext-unix-sk"] : []),
    ...(terminal ? ["--shell-job"] : []),
    ...(fileLocks ? ["--file-locks"] : []),
    ...emptyNamespaces(dump.wishes).map((name) => `--empty-ns=${name}`),
    ...externalOf(dump).map((text) => `--external=${text}`),
  ];
}

/**
 * Arguments of `criu restore`. What the checkpoint holds may come back: whether it was to be saved was asked when it was taken. `script`: a
 * program that criu runs at each of its stages.
 */
export function restoreArguments(restore: Restore, script: string): string[] {
  return [
    "restore",
    ...place(restore, RESTORE_LOG),
    `--root=${restore.root}`,
    "--restore-detached",
    "--restore-sibling",
    "--tcp-established",
    "--ext-unix-sk",
    "--file-locks",
    "--manage-cgroups=soft",
    ...restore.cgroups.map(
      ({ controllers, path }) => `--cgroup-root=${controllers === "" ? "" : `${controllers}:`}${path}`,
    ),
    ...(restore.emptyNetwork ? ["--empty-ns=net"] : []),
    ...restore.mounts.map((mount) => `--external=${externalMount(mount)}`),
    ...restore.inherited.map(({ fd, name }) => `--inherit-fd=fd[${fd}]:${name}`),
    `--action-script=${script}`,
  ];
}

/** An fd for the network namespace of somebody else's. */
export function networkFd(fd: number): { readonly fd: number; readonly name: string } {
  return { fd, name: NETWORK };
}

function place({ images, work }: CriuPlace, log: string): string[] {
  return [`--images-dir=${images}`, `--work-dir=${work}`, `--log-file=${log}`, `-v${LOG_LEVEL}`];
}

/** What a dump leaves to the host, as criu writes it. */
export function externalOf({ mounts, masked, network }: Dump): string[] {
  return [
    ...mounts.map((target) => externalMount({ target, source: target })),
    ...masked.map((target) => externalMount({ target, source: NULL })),
    ...(network === undefined ? [] : [`net[${network}]:${NETWORK}`]),
  ];
}

/** As criu writes it. Throws FailedPrecondition for a name that it could not read again. */
export function externalMount({ target, source }: ExternalMount): string {
  if (/[\]\n]/.test(target))
    throw new StatusError(
      Code.FailedPrecondition,
      `mounts ${JSON.stringify(target)}: criu can't be told of such a name`,
    );
  return `mnt[${target}]:${source}`;
}

/** criu's name of it. Throws InvalidArgument. */
export function cgroupsMode(mode = "soft"): string {
  if (CGROUP_MODES.has(mode)) return mode;
  const known = [...CGROUP_MODES].join(", ");
  throw new StatusError(Code.InvalidArgument, `cgroups_mode ${JSON.stringify(mode)}: none of ${known}`);
}

/** criu's names of them. Throws InvalidArgument. */
export function emptyNamespaces({ emptyNamespaces: kinds }: Pick<CheckpointWishes, "emptyNamespaces">): string[] {
  return kinds.map((kind) => {
    const name = EMPTY.get(kind);
    if (name === undefined)
      throw new StatusError(
        Code.InvalidArgument,
        `empty_namespaces ${JSON.stringify(kind)}: only "network" can be left empty`,
      );
    return name;
  });
}
