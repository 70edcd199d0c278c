import type { Mount } from "../mount/mount.ts";
import type { FoundDevice } from "../network/read-device.ts";
import type { Process } from "../spec/process.ts";
import type { Spec } from "../spec/spec.ts";
import type { HostFeatures } from "./host.ts";
import type { ProgramBuilder } from "./program.ts";

/**
 * Where the child's 0, 1, 2 come from. `prelude` writes steps that run in the monitor before CLONE (pipes, FIFOs, KEEP); slots
 * 0..11 are its own. "slots": the slots' fds become 0, 1, 2, and the monitor closes those slots once the child has them.
 * "terminal": the child makes the pty; the master comes to the monitor by SYNC CONSOLE into `slot`. Sizes in characters.
 */
export type StdioPlan =
  | {
      readonly kind: "slots";
      readonly stdin: number;
      readonly stdout: number;
      readonly stderr: number;
      prelude(builder: ProgramBuilder): void;
    }
  | {
      readonly kind: "terminal";
      readonly slot: number;
      readonly width?: number;
      readonly height?: number;
      prelude(builder: ProgramBuilder): void;
    };

/** One hierarchy's own directory for a `cgroup` mount: `name` below the mount's tmpfs ("cpu"), empty for a v2 mount itself. */
export interface CgroupView {
  readonly name: string;
  /** The container's directory on the host. */
  readonly path: string;
  /** Further names of the hierarchy that become links to `name`. */
  readonly links?: readonly string[];
}

/** How the process gets into its cgroup. */
export interface CgroupPlan {
  /** v1: the `tasks` file of each hierarchy; the child writes `0` to each. */
  readonly attachFiles: readonly string[];
  /** A cgroup2 directory for CLONE_INTO_CGROUP (v2, and hybrid's unified tree). */
  readonly into?: string;
  /** What a mount of type `cgroup` shows; empty: such a mount is an error. "none": nothing, the container has no cgroup of its own. */
  readonly ownDirs: readonly CgroupView[] | "none";
}

/** A compiled seccomp filter. */
export interface SeccompPlan {
  /** struct sock_filter[], 8 bytes each. */
  readonly bytes: Uint8Array;
  /** SECCOMP_FILTER_FLAG_ bits. */
  readonly flags: number;
  /** The filter lets read, write, execve and exit_group pass whatever their arguments: it can go in before the gate. */
  readonly passesGate?: boolean;
  /** The kernel gives a listener, which goes to whoever answers SYNC. Such a filter must pass the gate's calls. */
  readonly notify?: boolean;
}

/**
 * What holds a process back before its program. "monitor": the monitor's GATE. A slot: after that GATE, one byte from the FIFO or pipe in the
 * slot, or its end; so the monitor may end meanwhile, and the process lives on.
 */
export type Gate = "monitor" | { readonly slot: number };

/** All that the init process of a container needs. */
export interface InitPlan {
  /** The container's id: names its session keyring. */
  readonly id: string;
  readonly spec: Spec;
  /** Absolute path of the bundle. */
  readonly bundle: string;
  /** Create's mounts; empty: the spec's `root.path`. */
  readonly rootfs: readonly Mount[];
  readonly stdio: StdioPlan;
  readonly cgroup: CgroupPlan;
  /** The `tasks` files of its groups in resctrl, the class of service first; the child writes `0` to each. Default: none. */
  readonly resctrlTasks?: readonly string[];
  readonly seccomp?: SeccompPlan;
  /** The interfaces of `linux.netDevices`, as they are on the host: all of them, or the container is not what it should be. */
  readonly netDevices?: readonly FoundDevice[];
  readonly host: HostFeatures;
  /** Join a new session keyring instead of the caller's. Default true. */
  readonly newKeyring?: boolean;
  /** Default "monitor". */
  readonly gate?: Gate;
  /** Slots whose fds the program inherits as 3, 4 … Default: none. */
  readonly preserved?: readonly number[];
  /** Further steps that run in the monitor before CLONE. */
  readonly prelude?: (builder: ProgramBuilder) => void;
  /** Take the time, and tell it by SYNC TIMES. Default: no. */
  readonly timed?: boolean;
}

/** All that one more process of a running container needs. */
export interface ExecPlan {
  /** The container's id. */
  readonly id: string;
  readonly process: Process;
  readonly spec: Spec;
  /** The container's init, which the caller knows not to be reaped: its pid in the monitor's view, or a slot with its pidfd. */
  readonly init: { readonly pid: number } | { readonly slot: number };
  readonly stdio: StdioPlan;
  readonly cgroup: Pick<CgroupPlan, "attachFiles" | "into">;
  /** As for init. */
  readonly resctrlTasks?: readonly string[];
  readonly seccomp?: SeccompPlan;
  readonly host: HostFeatures;
  /** Join a new session keyring instead of the caller's. Default true. */
  readonly newKeyring?: boolean;
  /** Wait before exec. Default: no. */
  readonly gate?: Gate;
  /** Slots whose fds the program inherits as 3, 4 … Default: none. */
  readonly preserved?: readonly number[];
  readonly prelude?: (builder: ProgramBuilder) => void;
  /** Take the time, and tell it by SYNC TIMES. Default: no. */
  readonly timed?: boolean;
}
