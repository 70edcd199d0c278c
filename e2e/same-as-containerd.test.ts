import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { type Engine, startContainerd } from "./harness/containerd.ts";
import { assertNoLeaks, type Snapshot, snapshot } from "./harness/leaks.ts";
import { type Spoken, transcribe } from "./harness/transcript.ts";
import { KNOWN_DIFFERENCES } from "./known-differences.ts";
import { SCRIPTS } from "./same-scripts.ts";

const TRIES = 3;
/** Answers `-info` with what it got on stdin, in hex, as the runtime's name: field 1 of a RuntimeInfo. */
const SHIM = `#!/bin/sh
[ "$*" = -info ] || exit 1
hex=$(od -An -v -tx1 | tr -d ' \\n')
printf '\\012'; printf "\\\\$(printf %03o \${#hex})"; printf %s "$hex"
`;

/** What steps find in \$DIR/tmp. */
async function writeFixtures({ dir }: Engine): Promise<void> {
  await writeFile(join(dir, "tmp/shim"), SHIM, { mode: 0o755 });
  await writeFile(join(dir, "tmp/pod.json"), "{}");
}

for (const version of ["1.6", "2.x"] as const) {
  describe(`ctr ${version}`, { timeout: 300_000 }, () => {
    const engines: Engine[] = [];
    const clean: Snapshot[] = [];
    before(async () => {
      for (const daemon of ["containerd", "trimaran"] as const) {
        const engine = await startContainerd({ version, daemon });
        engines.push(engine);
        await writeFixtures(engine);
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
    test("known differences are what they were", async () => {
      const known = KNOWN_DIFFERENCES.filter(({ versions }) => versions.includes(version));
      const steps = known.map(({ step }) => step);
      const [theirs = [], ours = []] = await Promise.all(engines.map((engine) => transcribe(engine, steps)));
      const endings = (spoken: readonly Spoken[]) => spoken.map(({ code, error }) => ({ code, error }));
      assert.deepEqual(
        endings(theirs),
        known.map((difference) => difference.theirs),
      );
      assert.deepEqual(
        endings(ours),
        known.map((difference) => difference.ours),
      );
      if (version === "1.6") return;
      for (const engine of engines) await engine.ctrOk("sandboxes", "rm", "--force", "pod");
      for (const [at, engine] of engines.entries()) await assertNoLeaks(engine, clean[at] ?? new Set());
    });
  });
}
