/** Unpack changed hostile layers until one gets out or fails oddly: `node fuzz/layers.ts [FIRST-SEED [ROUNDS [SECONDS]]]`, as root. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fuzzLayer } from "../src/layers/testing/fuzz-layers.ts";
import { LayerThreads } from "../src/layers/thread/layer-threads.ts";

const [first = 1, rounds = Number.POSITIVE_INFINITY, seconds = Number.POSITIVE_INFINITY] = process.argv
  .slice(2)
  .map(Number);
const mountRoot = mkdtempSync(join(tmpdir(), "trimaran-fuzz-"));
try {
  await using threads = new LayerThreads({ mountRoot });
  const endMs = performance.now() + seconds * 1000;
  for (let seed = first; seed < first + rounds && performance.now() < endMs; seed++) {
    await fuzzLayer(threads, seed);
    if (seed % 1000 === 0) console.log(`seed ${seed}`);
  }
} finally {
  rmSync(mountRoot, { recursive: true, force: true });
}
