import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { makeMonitor, OUT } from "./testing/pod.ts";

const TARGETS = ["program", "link", "conn"];
const CORPUS = join(import.meta.dirname, "../c/fuzz/corpus");
makeMonitor(...TARGETS.map((target) => `fuzz-${target}`));

for (const target of TARGETS) {
  test(`three seconds of mutations of the ${target} corpus`, { timeout: 60_000 }, async () => {
    const seed = process.env.FUZZ_SEED ?? "1";
    const files = globSync(join(CORPUS, target, "*"));
    const { stdout } = await promisify(execFile)(join(OUT, `fuzz-${target}`), ["3", seed, ...files]).catch(
      (error: Error) => {
        throw new Error(`FUZZ_SEED=${seed}: ${error.message}`);
      },
    );
    assert.match(stdout, /^\d+ runs\n$/);
  });
}
