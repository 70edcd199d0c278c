import assert from "node:assert/strict";
import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type FixtureEntry, makeTar } from "../../testing/tar-fixture.ts";
import { temporaryDirectory } from "../../testing/temporary-directory.ts";
import type { ApplyTarget } from "../mount/apply-target.ts";
import type { LayerThreads } from "../thread/layer-threads.ts";
import { DEFAULT_LIMITS, type LayerLimits } from "../unpack/limits.ts";
import type { Unpacked } from "../unpack/unpack-layer.ts";

/** What a test may change. */
export interface ApplyOptions {
  readonly lowers?: readonly string[];
  readonly limits?: LayerLimits;
  readonly isPlain?: boolean;
  readonly signal?: AbortSignal;
}

/** A directory for a layer, beside one that must stay as it is. */
export class ApplyBed implements Disposable {
  readonly root: string;
  readonly outside: string;
  readonly #directory = temporaryDirectory();
  readonly #threads: LayerThreads;
  readonly #isOutsideEmpty: boolean;

  /** `fuzz`: the test itself puts something outside and looks after it. */
  constructor(threads: LayerThreads, outside: "empty" | "fuzz" = "empty") {
    this.#threads = threads;
    this.#isOutsideEmpty = outside === "empty";
    this.root = join(this.#directory.path, "root");
    this.outside = join(this.#directory.path, "outside");
    mkdirSync(this.root);
    mkdirSync(this.outside);
  }

  /** Unpack into `root` as into an overlay's upper directory. */
  upper(layer: readonly FixtureEntry[] | Buffer, options: ApplyOptions = {}): Promise<Unpacked> {
    return this.apply({ kind: "upper", directory: this.root, lowers: options.lowers ?? [] }, layer, options);
  }

  /** Unpack into `root` as it is. */
  plain(layer: readonly FixtureEntry[] | Buffer, options: ApplyOptions = {}): Promise<Unpacked> {
    return this.apply({ kind: "directory", directory: this.root }, layer, options);
  }

  /** Unpack anywhere; checks that nothing has appeared beside `root`. */
  async apply(target: ApplyTarget, layer: readonly FixtureEntry[] | Buffer, options: ApplyOptions): Promise<Unpacked> {
    const { limits = DEFAULT_LIMITS, isPlain = false, signal } = options;
    const bytes = Buffer.isBuffer(layer) ? layer : makeTar(layer);
    const path = join(this.#directory.path, "blob");
    writeFileSync(path, bytes);
    const fd = openSync(path, "r");
    try {
      const source = { blob: { fd, offset: 0, sizeBytes: bytes.length }, isPlain };
      const run = signal === undefined ? {} : { signal };
      return await this.#threads.run({ kind: "apply", source, target, limits, sync: false }, run);
    } finally {
      closeSync(fd);
      if (this.#isOutsideEmpty) assert.deepEqual(readdirSync(this.outside), [], "nothing may appear outside");
      assert.deepEqual(readdirSync(this.#directory.path).sort(), ["blob", "outside", "root"]);
    }
  }

  [Symbol.dispose](): void {
    this.#directory[Symbol.dispose]();
  }
}
