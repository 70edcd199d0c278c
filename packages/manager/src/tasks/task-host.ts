import type { Directories } from "../bundles/directories.ts";
import type { Identifier } from "../bundles/identifier.ts";
import type { Syscalls } from "../host/syscalls.ts";
import type { ShimParent } from "../shims/start-shim.ts";
import type { ContainerStore } from "../stores/container-store.ts";
import type { StepListener } from "./trace.ts";

/** What tasks stand on; made once by `openManager`. */
export interface TaskHost {
  readonly dirs: Directories;
  readonly namespace: Identifier;
  readonly store: ContainerStore;
  readonly parent: ShimParent;
  /** Where shims are looked for, in this order. */
  readonly shimDirectories: readonly string[];
  /** libc, loaded at the first use. */
  readonly syscalls: () => Syscalls;
  /** See to it that some process serves the events socket. */
  readonly serveEvents: () => Promise<void>;
  readonly trace: StepListener;
}
