import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { containerd } from "@trimaran/proto";
import { makeFifo } from "../host/program.ts";
import { type BundleOptions, ociSpec } from "./oci-spec.ts";

/** A bundle as containerd makes it: config.json, an empty rootfs, the log FIFO; and the rootfs mounts that go into Create. */
export class Bundle implements AsyncDisposable {
  readonly path: string;
  readonly id: string;
  readonly mounts: readonly containerd.types.Mount[];
  readonly #layer: string;

  private constructor(path: string, id: string, layer: string, lower: string) {
    this.path = path;
    this.id = id;
    this.#layer = layer;
    const options = [`workdir=${layer}/work`, `upperdir=${layer}/fs`, `lowerdir=${lower}`, "index=off"];
    this.mounts = [{ type: "overlay", source: "overlay", target: "", options }];
  }

  /** Make one below `dir`; the rootfs is an overlay over the folder `lower`, which stays as it is. */
  static async make(dir: string, lower: string, options: BundleOptions): Promise<Bundle> {
    const path = join(dir, "bundles", options.namespace, options.id);
    const layer = join(dir, "snapshots", options.id);
    for (const folder of [join(path, "rootfs"), join(layer, "fs"), join(layer, "work")])
      await mkdir(folder, { recursive: true });
    await writeFile(join(path, "config.json"), JSON.stringify(ociSpec(options)));
    await makeFifo(join(path, "log"));
    return new Bundle(path, options.id, layer, lower);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const path of [this.path, this.#layer]) await rm(path, { recursive: true, force: true });
  }
}
