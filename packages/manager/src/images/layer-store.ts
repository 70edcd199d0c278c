import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Directories, layout } from "../bundles/directories.ts";
import { errnoOf } from "../errors/manager-error.ts";
import { pathExists } from "../host/path-exists.ts";
import type { LayerThreads } from "../layers/thread/layer-threads.ts";
import { DEFAULT_LIMITS } from "../layers/unpack/limits.ts";
import type { FileExtent } from "../layers/unpack/read-extent.ts";
import { invalid } from "./archive/image-archive.ts";

/** Identity of a layer on top of others: OCI's chain id. Two images with the same lower layers share them. */
export function chainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = [];
  for (const diffId of diffIds) {
    const parent = chain.at(-1);
    chain.push(
      parent === undefined ? diffId : `sha256:${createHash("sha256").update(`${parent} ${diffId}`).digest("hex")}`,
    );
  }
  return chain;
}

/** Unpacked layers by chain id. A directory appears whole, by a rename, or not at all. */
export class LayerStore {
  readonly #folder: string;

  constructor(dirs: Directories) {
    this.#folder = layout.layers(dirs);
  }

  /** Where the layer is or would be. */
  path(chainId: string): string {
    return join(this.#folder, chainId.slice("sha256:".length), "fs");
  }

  /** Unpack a layer unless it is there. `lowers`: the paths of those below, topmost first. Throws if it is not what `diffId` says. */
  async ensure(
    layer: { readonly chainId: string; readonly diffId: string; readonly lowers: readonly string[] },
    blob: FileExtent,
    threads: LayerThreads,
  ): Promise<void> {
    const path = this.path(layer.chainId);
    if (await pathExists(path)) return;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await this.#sweep();
    const temporary = await mkdtemp(join(this.#folder, `.unpack-${process.pid}-`)); // 0700: nobody else looks in or writes there
    try {
      const root = join(temporary, "fs");
      await mkdir(root, { mode: 0o755 });
      const { digest } = await threads.run({
        kind: "apply",
        source: { blob, isPlain: false },
        target: { kind: "upper", directory: root, lowers: layer.lowers },
        limits: DEFAULT_LIMITS,
        sync: false,
      });
      if (digest !== layer.diffId) throw invalid(`layer ${layer.diffId}: its content has digest ${digest}`);
      await rename(temporary, join(path, "..")).catch((error: unknown) => {
        if (errnoOf(error) !== "ENOTEMPTY" && errnoOf(error) !== "EEXIST") throw error; // somebody was faster
      });
    } finally {
      await rm(temporary, { recursive: true, force: true });
    }
  }

  /** Remove what processes that died while unpacking have left. */
  async #sweep(): Promise<void> {
    for (const name of await readdir(this.#folder)) {
      const pid = /^\.unpack-(\d+)-/.exec(name)?.[1];
      if (pid === undefined || (await pathExists(`/proc/${pid}`))) continue;
      await rm(join(this.#folder, name), { recursive: true, force: true });
    }
  }
}
