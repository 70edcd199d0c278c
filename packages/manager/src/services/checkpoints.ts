import type { containerd, google } from "@trimaran/proto";
import type { ServiceCall } from "../grpc/service-call.ts";
import type { RunningTask } from "../tasks/task-registry.ts";

type Descriptor = containerd.types.Descriptor;

/** Checkpoints of tasks in the content store. */
export interface Checkpoints {
  /**
   * Let the shim write a checkpoint. Into `image_path` of the options, if they name one: nothing is answered then; else as blobs:
   * the directory that the shim has written, as a tar, and the container's spec.
   */
  take(task: RunningTask, options: google.protobuf.Any | undefined, call: ServiceCall): Promise<Descriptor[]>;
  /** The directory of a checkpoint blob until it is disposed; undefined for no descriptor. */
  restore(
    checkpoint: Descriptor | undefined,
    call: ServiceCall,
  ): Promise<(AsyncDisposable & { readonly path: string }) | undefined>;
}
