import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { OUT } from "./testing/halves.ts";

const CORPUS = join(import.meta.dirname, "../c/fuzz/corpus");

for (const target of ["host", "guest"])
  test(`three seconds of mutations of the ${target} corpus`, { timeout: 60_000 }, async () => {
    const seed = process.env.FUZZ_SEED ?? `${Date.now()}`;
    const files = globSync(join(CORPUS, target, "*"));
    const { stdout } = await promisify(execFile)(join(OUT, `fuzz-${target}`), ["3", seed, ...files]).catch(
      (error: Error) => {
        throw new Error(`FUZZ_SEED=${seed}: ${error.message}`);
      },
    );
    assert.match(stdout, /^\d+ runs\n$/);
  });
