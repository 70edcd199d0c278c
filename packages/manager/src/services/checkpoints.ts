import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { ANY, containerd, google, isAnyOf } from "@trimaran/proto";
import { Code, hasCode } from "../errors/manager-error.ts";
import { requireNamespace, type ServiceCall } from "../grpc/service-call.ts";
import type { CallOptions } from "../grpc/service-client.ts";
import type { Services } from "../grpc/services.ts";
import type { RunningTask } from "../tasks/task-registry.ts";

type Descriptor = containerd.types.Descriptor;
type Any = google.protobuf.Any;

const CRIU = "application/vnd.containerd.container.criu.checkpoint.criu.tar";
const CONFIG = "application/vnd.containerd.container.checkpoint.config.v1+proto";
const TAR = "application/vnd.oci.image.layer.v1.tar";

/** Checkpoints of tasks, as directories for shims and as blobs for clients. */
export class Checkpoints {
  readonly #services: (namespace: string) => Pick<Services, "content" | "diff">;
  readonly #folder: string;

  /** `folder` exists; directories come and go in it. */
  constructor(services: (namespace: string) => Pick<Services, "content" | "diff">, folder: string) {
    this.#services = services;
    this.#folder = folder;
  }

  /**
   * Let the shim write a checkpoint. Into `image_path` of the options, if they name one: nothing is answered then; else as blobs:
   * the directory that the shim has written, as a tar, and the container's spec.
   */
  async take(
    task: RunningTask,
    spec: Any,
    options: Any | undefined,
    call: ServiceCall,
  ): Promise<Partial<Descriptor>[]> {
    const { bundle, connection } = task;
    const checkpoint = (path: string) =>
      connection.task.checkpoint({ id: bundle.id, path, options }, { signal: call.signal });
    const imagePath = imagePathOf(options);
    if (imagePath !== "") {
      await checkpoint(imagePath);
      return [];
    }
    await using image = await this.#directory();
    await using empty = await this.#directory();
    await checkpoint(image.path);
    const { content, diff } = this.#services(requireNamespace(call));
    const { diff: tar } = await diff.diff(
      { left: [bind(empty.path)], right: [bind(image.path)], mediaType: TAR, ref: `checkpoint-${bundle.id}` },
      limits(call),
    );
    const config = await writeBlob(content, google.protobuf.Any.encode(spec), limits(call));
    return [
      { ...tar, mediaType: CRIU },
      { ...config, mediaType: CONFIG },
    ];
  }

  /** Unpack a checkpoint blob into a new directory. */
  async restore(checkpoint: Descriptor, directory: string, call: ServiceCall): Promise<void> {
    await mkdir(directory, { mode: 0o700 });
    const { diff } = this.#services(requireNamespace(call));
    await diff.apply({ diff: { ...checkpoint, mediaType: TAR }, mounts: [bind(directory)] }, limits(call));
  }

  async #directory(): Promise<AsyncDisposable & { readonly path: string }> {
    const path = await mkdtemp(join(this.#folder, "checkpoint-"));
    return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
  }
}

/** Whether a descriptor is one of a checkpoint of criu's. Any other is of no effect, as with containerd. */
export function isCheckpoint({ mediaType }: Pick<Descriptor, "mediaType">): boolean {
  return mediaType === CRIU;
}

function imagePathOf(options: Any | undefined): string {
  if (options === undefined || !isAnyOf(options, ANY.runcCheckpointOptions)) return "";
  return containerd.runc.v1.CheckpointOptions.decode(options.value).imagePath;
}

function bind(source: string) {
  return { type: "bind", source, options: ["rbind", "rw"] };
}

function limits(call: ServiceCall): CallOptions {
  return { lease: call.lease, signal: call.signal };
}

async function writeBlob(
  content: Services["content"],
  data: Uint8Array,
  options: CallOptions,
): Promise<Partial<Descriptor>> {
  const digest = `sha256:${createHash("sha256").update(data).digest("hex")}`;
  const { WRITE, COMMIT } = containerd.services.content.v1.WriteAction;
  const messages = [
    { action: WRITE, ref: `checkpoint-config-${digest}`, data, total: data.length, expected: digest },
    { action: COMMIT, offset: data.length, total: data.length, expected: digest },
  ];
  try {
    for await (const _answer of content.write(each(messages), options)); // the last message is the commit
  } catch (error) {
    if (!hasCode(error, Code.AlreadyExists)) throw error;
  }
  return { digest, size: BigInt(data.length) };
}

async function* each<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}
