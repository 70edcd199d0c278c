import type { Spec } from "@trimaran/linux";
import type { ContainerProcess, CreateRequest, Host, RootfsMount } from "@trimaran/shim-core";
import type { AgentConnection } from "../agent/connection.ts";
import type { GuestDisk, WantedDisk } from "../storage/disks.ts";

/** A container whose files the guest needs. */
export interface GuestContainer {
  readonly request: CreateRequest;
  readonly spec: Spec;
  /** The block devices that it asks for: these are not shared as files. For `share`. */
  readonly disks?: readonly WantedDisk[];
}

/** A pod's virtual machine, as its containers see it. */
export interface Guest {
  /** The VMM: its pid is what containerd is told of every process inside, and its end is theirs. */
  readonly vmm: Pick<ContainerProcess, "pid" | "hasExited" | "exited">;
  /** The unix socket that leads to the agent's port; it exists while the machine runs. */
  readonly agentSocket: string;
  /** The unix socket that leads to the guest's monitor for execs. Without it the agent runs them. */
  readonly execSocket?: string;
  /** The connection with which the agent was found to be there, for whoever takes the guest over. */
  readonly agent?: AgentConnection | undefined;
  /** Why the machine has ended, for whoever asks afterwards: the tail of its console, say. */
  explainEnd(): string;
  /** Once the agent answers: what a clone needs, the share, the network. Again it does nothing. */
  prepare?(agent: AgentConnection): Promise<void>;
  /**
   * Make a container's rootfs and the sources of its bind mounts reachable from inside, at the paths that `toGuestSpec` writes. Resolves with what the agent is to mount as
   * its root. Again it gives the same.
   */
  share(container: GuestContainer): Promise<readonly RootfsMount[]>;
  /** Put block devices of the host into the machine, which keeps them until its end. Again it gives the same. Absent: it can have none. */
  attachDisks?(wanted: readonly WantedDisk[], agent: AgentConnection): Promise<readonly GuestDisk[]>;
  /** Take that away. Harmless if it is gone. `agent`: to be told, if it answers. */
  unshare(container: GuestContainer, agent?: AgentConnection): Promise<void>;
  /** Whether its end takes all away that is inside, so that nothing there need be tidied up first. */
  readonly isMachine?: boolean;
  /** End the machine at once, and resolve when it has ended. */
  kill(): Promise<void>;
  /** End it, and take away everything that was made for it. Called after its last container; again after a crash. */
  remove(): Promise<void>;
}

/** What a machine is made for. */
export interface GuestRequest {
  /** Container whose Create makes it. */
  readonly owner: CreateRequest;
  /** The pod's id: that of its first container. */
  readonly podId: string;
  /** config.json of the owner. */
  readonly spec: Readonly<Record<string, unknown>>;
}

/** Makes machines. */
export interface GuestProvider {
  /**
   * Start the pod's machine, or find it if it runs. What it makes outside must be told to `host.recordUndo` of the owner's bundle first.
   * Resolves when its processes run, not when its agent answers.
   */
  open(request: GuestRequest, host: Host): Promise<Guest>;
  /** The machine of an earlier `open`, after a restart of the task server. Makes nothing. */
  find(podId: string, namespace: string, host: Host): Guest;
  /** Check that these options are understood. Throws InvalidArgument. */
  checkOptions?(options: CreateRequest["options"]): void;
}
