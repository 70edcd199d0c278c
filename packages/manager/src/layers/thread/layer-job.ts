import type { DiffResult } from "../diff/diff-trees.ts";
import type { DiskUsage } from "../diff/disk-usage.ts";
import type { ApplyTarget } from "../mount/apply-target.ts";
import type { Mount } from "../mount/mount.ts";
import type { Compression } from "../unpack/decompress.ts";
import type { LayerLimits } from "../unpack/limits.ts";
import type { LayerSource, Unpacked } from "../unpack/unpack-layer.ts";

/** Unpack a layer. */
export interface ApplyJob {
  readonly kind: "apply";
  readonly source: LayerSource;
  readonly target: ApplyTarget;
  readonly limits: LayerLimits;
  readonly sync: boolean;
}

/** Compare two trees. */
export interface DiffJob {
  readonly kind: "diff";
  readonly left: readonly Mount[];
  readonly right: readonly Mount[];
  readonly compression: Compression;
  readonly latestSeconds: number | undefined;
}

/** Measure a directory. */
export interface UsageJob {
  readonly kind: "usage";
  readonly directory: string;
}

/** Remove a directory with all that is in it. */
export interface RemoveJob {
  readonly kind: "remove";
  readonly directory: string;
}

export type LayerJob = ApplyJob | DiffJob | UsageJob | RemoveJob;

/** What each kind of job gives. A diff's layer itself comes in chunks before. */
export interface LayerResults {
  readonly apply: Unpacked;
  readonly diff: DiffResult;
  readonly usage: DiskUsage;
  readonly remove: undefined;
}

/** To a layer thread: a job, with a directory for private mounts, or "the chunk has been written". */
export type ToThread =
  | { readonly kind: "run"; readonly job: LayerJob; readonly mountRoot: string }
  | { readonly kind: "written" };

/** From a layer thread. `isSpent`: it has a mount table of its own now and takes no other job. */
export type FromThread =
  | { readonly kind: "chunk"; readonly chunk: Uint8Array }
  | { readonly kind: "done"; readonly result: LayerResults[LayerJob["kind"]]; readonly isSpent: boolean }
  | { readonly kind: "failed"; readonly error: ThrownError; readonly isSpent: boolean };

/** An error between threads, where its class gets lost. `code` is an errno name or a status. */
export interface ThrownError {
  readonly name: string;
  readonly message: string;
  readonly code: string | number | undefined;
}
