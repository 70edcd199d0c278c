import type { Bundle } from "../bundles/bundle.ts";
import type { Directories } from "../bundles/directories.ts";
import type { Syscalls } from "../host/syscalls.ts";
import type { ShimParent } from "../shims/start-shim.ts";
import type { StepListener } from "./trace.ts";

/** What shims are started and ended with. */
export interface ShimHost {
  readonly dirs: Directories;
  readonly parent: ShimParent;
  /** Where shims are looked for, in this order. */
  readonly shimDirectories: readonly string[];
  /** libc, loaded at the first use. */
  readonly syscalls: () => Syscalls;
  /**
   * Keep other processes from making, ending or cleaning up a task, until disposed. Undefined where one process has all tasks: a
   * daemon.
   */
  readonly lockTask?: (bundle: Bundle) => Promise<AsyncDisposable>;
  /** See to it that some process serves the events socket. */
  readonly serveEvents: () => Promise<void>;
  readonly trace: StepListener;
}
