import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { type Engine, startContainerd } from "./harness/containerd.ts";
import { assertNoLeaks, type Snapshot, snapshot } from "./harness/leaks.ts";
import { transcribe } from "./harness/transcript.ts";
import { SCRIPTS } from "./same-scripts.ts";

const TRIES = 3;

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
        // Upstream's shim and ctr lose output now and then (see harness/matrix.ts): what differs once may be theirs.
        for (let tries = TRIES; ; tries--) {
          const [theirs = [], ours = []] = await Promise.all(engines.map((engine) => transcribe(engine, steps)));
          if (tries > 1 && !isDeepStrictEqual(ours, theirs)) continue;
          assert.deepEqual(ours, theirs);
          break;
        }
        for (const [at, engine] of engines.entries()) await assertNoLeaks(engine, clean[at] ?? new Set());
      });
    }
  });
}
