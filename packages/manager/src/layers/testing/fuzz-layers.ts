import { lstatSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../../errors/manager-error.ts";
import { randomNumbers } from "../../testing/random.ts";
import { TarError } from "../tar/tar-header.ts";
import type { LayerThreads } from "../thread/layer-threads.ts";
import { LayerError } from "../unpack/layer-error.ts";
import { ApplyBed } from "./apply-bed.ts";
import { mutate } from "./hostile-layers.ts";

/** What the kernel may say to a hostile layer that our own checks let pass. */
const REFUSALS = ["EEXIST", "EFBIG", "EINVAL", "EISDIR", "ENOENT", "ENOTEMPTY", "EPERM", "ERANGE", "EXDEV", "EBUSY"];

/**
 * Unpack one changed hostile layer, twice, both ways. Throws if anything outside of its directory changes, or if it fails in a way that
 * nobody has thought of. Returns whether it was unpacked.
 */
export async function fuzzLayer(threads: LayerThreads, seed: number): Promise<boolean> {
  const bytes = mutate(randomNumbers(seed));
  using bed = new ApplyBed(threads, "fuzz");
  const kept = join(bed.outside, "kept");
  writeFileSync(kept, "kept");
  const before = lstatSync(kept).ctimeMs;
  const results = [
    await isUnpacked(() => bed.upper(bytes), seed),
    await isUnpacked(() => bed.plain(bytes), seed),
    await isUnpacked(() => bed.plain(bytes), seed), // once more, over what is there
  ];
  const { ctimeMs, nlink } = lstatSync(kept);
  const isSame = ctimeMs === before && nlink === 1 && readFileSync(kept, "utf8") === "kept";
  if (!isSame || readdirSync(bed.outside).length !== 1) throw new Error(`seed ${seed}: something outside has changed`);
  return results[0] === true;
}

async function isUnpacked(run: () => Promise<unknown>, seed: number): Promise<boolean> {
  try {
    await run();
    return true;
  } catch (error) {
    const isRefused =
      error instanceof TarError || error instanceof LayerError || REFUSALS.includes(errnoOf(error) ?? "");
    if (isRefused) return false;
    throw new Error(`seed ${seed}: ${String(error)}`, { cause: error });
  }
}
