import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Engine, startContainerd } from "./harness/containerd.ts";
import { assertNoLeaks, type Snapshot, snapshot } from "./harness/leaks.ts";
import { transcribe } from "./harness/transcript.ts";
import { SCRIPTS } from "./same-scripts.ts";

for (const version of ["1.6", "2.x"] as const) {
  describe(`ctr ${version}`, { timeout: 300_000 }, () => {
    const engines: Engine[] = [];
    const clean: Snapshot[] = [];
    before(async () => {
      for (const daemon of ["containerd", "trimaran"] as const) {
        const engine = await startContainerd({ version, daemon });
        engines.push(engine);
        clean.push(await snapshot(engine));
      }
    });
    after(async () => {
      for (const engine of engines) await engine[Symbol.asyncDispose]();
    });
    for (const [name, steps] of Object.entries(SCRIPTS)) {
      test(name, async () => {
        const [theirs = [], ours = []] = await Promise.all(engines.map((engine) => transcribe(engine, steps)));
        assert.deepEqual(ours, theirs);
        for (const [at, engine] of engines.entries()) await assertNoLeaks(engine, clean[at] ?? new Set());
      });
    }
  });
}
