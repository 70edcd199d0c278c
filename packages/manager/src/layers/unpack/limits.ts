import { LayerError } from "./layer-error.ts";

/** What one layer may be at most, so that a small hostile blob cannot fill the disk. */
export interface LayerLimits {
  /** Of the uncompressed stream. */
  readonly bytes: number;
  /** Members of the archive, and directories that are made for them. */
  readonly entries: number;
}

/** Far above any real layer: 128 GiB, and 8 Mi members. */
export const DEFAULT_LIMITS: LayerLimits = { bytes: 2 ** 37, entries: 2 ** 23 };

/** Counts bytes and members of a layer. Throws LayerError beyond the limit. */
export class LayerMeter {
  readonly #limits: LayerLimits;
  #bytes = 0;
  #entries = 0;

  constructor(limits: LayerLimits) {
    this.#limits = limits;
  }

  /** Bytes so far. */
  get bytes(): number {
    return this.#bytes;
  }

  addBytes(count: number): void {
    this.#bytes += count;
    if (this.#bytes > this.#limits.bytes) throw new LayerError(`layer: more than ${this.#limits.bytes} bytes`);
  }

  addEntry(): void {
    this.#entries++;
    if (this.#entries > this.#limits.entries) throw new LayerError(`layer: more than ${this.#limits.entries} members`);
  }
}
