import assert from "node:assert/strict";
import { execFile, execFileSync, spawnSync } from "node:child_process";
import { globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
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

test("a finding ends the run, and its input is kept", () => {
  const folder = mkdtempSync(join(tmpdir(), "fuzz-finding-"));
  try {
    const broken = "int LLVMFuzzerTestOneInput(const uint8_t *b, size_t n) { return n > 3 ? b[n] : 0; }";
    writeFileSync(join(folder, "broken.c"), `#include "fuzz.h"\n${broken}\n`);
    const program = join(folder, "broken");
    const sources = [join(folder, "broken.c"), join(CORPUS, "../main.c")];
    execFileSync("gcc", ["-g", "-I", join(CORPUS, ".."), "-fsanitize=address", "-o", program, ...sources]);
    writeFileSync(join(folder, "seed"), "ab");
    const { status, stderr } = spawnSync(program, ["20", "7", join(folder, "seed")], { encoding: "utf8" });
    assert.notEqual(status, 0);
    assert.match(stderr, /heap-buffer-overflow/);
    assert.ok(readFileSync(join(folder, "found-7")).length > 3);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
