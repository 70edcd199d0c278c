import type { CgroupStats } from "@trimaran/linux";
import type { google } from "@trimaran/proto";
import type { ContainerProcess } from "./host/container-process.ts";
import type { Host } from "./host/host.ts";
import type { RequestKey } from "./host/process.ts";
import type { PodWishes } from "./sandbox/sandbox-record.ts";
import type { CreateRequest, ExecRequest } from "./task/record.ts";

/**
 * What a shim author writes: how one kind of container is made. Everything else — bootstrap, ttrpc, the task state machine, events,
 * stdio, restart of the task server — is the SDK's.
 *
 * The task server may be killed at any instruction, so each method must be safe to call again with the same arguments: launching a key
 * that exists gives the process that exists.
 */
export interface Runtime {
  /** As in containerd's `runtime_type`: `io.containerd.NAME.VERSION`. */
  readonly name: string;
  readonly version: string;
  /** Bring a container up to its start gate. What it makes outside must first be told to `host.recordUndo`. Throws and leaves nothing. */
  create(request: CreateRequest, host: Host): Promise<Container>;
  /** The container of an earlier `create`, after the task server was restarted. Makes nothing. */
  recover(request: CreateRequest, host: Host): Promise<Container> | Container;
  /** Whether Create may ask for a restore from a checkpoint: `request.checkpoint`. The container's pid may be 0 until it is started. */
  readonly restores?: boolean;
  /** Whether a pod may be made without a container, by the Sandbox API: containers then join it one by one. */
  readonly keepsSandboxes?: boolean;
  /** What such a sandbox needs besides the promise that its monitor stays. */
  readonly sandboxes?: {
    /** Make it. Again it finds it. Throws and leaves nothing. */
    start(request: SandboxRequest, host: Host): Promise<RunningSandbox>;
    /** The one of an earlier `start`, after the task server was restarted; called before `recover` of its containers. Makes nothing. */
    recover(request: SandboxRequest, host: Host): RunningSandbox;
    /** Take it away, after its containers. Again it does nothing. */
    remove(request: SandboxRequest, host: Host): Promise<void>;
  };
  /** Whether news of containers comes by other ways than the monitor, which alone could wake a task server that has gone for idleness. */
  readonly staysAwake?: boolean;
  /** Check that these options are understood, as early as `start`. Throws InvalidArgument. */
  checkOptions?(options: CreateRequest["options"]): void;
  /** Files into which the monitor writes `0` to join the cgroups that the options want it in. */
  monitorCgroup?(options: CreateRequest["options"]): readonly string[];
  /** The `features` document of the OCI runtime spec, for `-info`. */
  features?(): unknown;
}

/** A sandbox of the Sandbox API: a pod that is there before its first container. */
export interface SandboxRequest {
  readonly id: string;
  readonly namespace: string;
  /** Of `start`. The shim may write into it; there is no config.json of a sandbox. */
  readonly bundle: string;
  /** Path of its network namespace; empty: none was made for it. */
  readonly networkNamespace: string;
  /** CRI asked for the host's. */
  readonly hostNetwork?: boolean;
  /** What else CRI wants; undefined where another client has made it. */
  readonly pod?: PodWishes;
  readonly annotations: Readonly<Record<string, string>>;
  /** Runtime options of `start`. */
  readonly options: CreateRequest["options"];
}

/** What stands for a sandbox on the host. */
export interface RunningSandbox {
  readonly pid: number;
  /** Resolves when it is over by itself. */
  readonly ended: Promise<unknown>;
}

/** Where a container's state is to be saved, and what it may hold. Source: containerd.runc.v1.CheckpointOptions. */
export interface CheckpointRequest {
  /** A directory of the host, which exists or can be made. */
  readonly directory: string;
  /** A directory for logs, which then stay; undefined: the runtime's own. */
  readonly workDirectory: string | undefined;
  /** End the container afterwards. */
  readonly exit: boolean;
  /** It is paused, and stays so. */
  readonly isPaused: boolean;
  /** What is shared with the world outside, and saved only if asked for. */
  readonly openTcp: boolean;
  readonly externalUnixSockets: boolean;
  readonly terminal: boolean;
  readonly fileLocks: boolean;
  /** Kinds of namespaces that are restored empty: "network" say. */
  readonly emptyNamespaces: readonly string[];
  /** How cgroups are saved; undefined: as the runtime likes. */
  readonly cgroupsMode: string | undefined;
  /** Names the request: a replay of it has the same. */
  readonly key: RequestKey;
}

/** One container. A verb that is left out answers Unimplemented. */
export interface Container {
  readonly init: ContainerProcess;
  /** Whether the end of init ends every other process: a private pid namespace. If not, `killAll` is called on init's exit. */
  readonly endsWithInit: boolean;
  /** Let init go on from the start gate; resolves once its program runs. */
  start(): Promise<void>;
  /** Start another process in the container; resolves once its program runs. */
  exec(request: ExecRequest): Promise<ContainerProcess>;
  /** Signal every process of the container. */
  killAll(signal: number): Promise<void>;
  /** Take everything away that outlives init. Called after its exit; again after a crash. */
  remove(): Promise<void>;
  /** Pids of all its processes, as the host sees them. */
  pids(): readonly number[];
  /** Signal init or an exec. Default: through its pidfd. */
  kill?(process: ContainerProcess, signal: number, once?: RequestKey): Promise<void>;
  pause?(): Promise<void>;
  resume?(): Promise<void>;
  /** `resources`: OCI LinuxResources, untrusted JSON. */
  update?(resources: unknown): Promise<void>;
  checkpoint?(request: CheckpointRequest): Promise<void>;
  /** Of its cgroup; or one of containerd's metrics messages as it is, from an engine elsewhere. */
  stats?(): CgroupStats | Promise<CgroupStats | google.protobuf.Any>;
  /** OOM kills since the container was made. */
  oomKills?(): number;
  /** Called once. `tell` is to be called when `oomKills` has grown, where no watch slot of init tells it. */
  watchOom?(tell: () => void): void;
}
