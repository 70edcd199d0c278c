import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { removeCgroups } from "@trimaran/shim-check";
import { startContainerd } from "./harness/containerd.ts";
import { crashRounds } from "./harness/crash-run.ts";
import { assertNoLeaks, snapshot } from "./harness/leaks.ts";
import { CONTROL, TRIMARAN } from "./harness/matrix.ts";

/** More by hand: CRASH_ROUNDS=500 node e2e/run.ts e2e/crash.test.ts */
const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 10);

for (const runtime of [TRIMARAN, CONTROL]) {
  test(`${runtime}: kill -9 of the daemon, ${ROUNDS} times: nothing acknowledged is lost, nothing leaks`, async (t) => {
    await using engine = await startContainerd({ version: "1.6", daemon: "trimaran" });
    const before = await snapshot(engine);
    const { answered, cutOff } = await crashRounds(engine, runtime, ROUNDS, Math.random).catch(
      async (error: unknown) => {
        t.diagnostic(await engine.logTail());
        throw error;
      },
    );
    t.diagnostic(`${answered} commands were answered, ${cutOff} cut off`);
    assert.ok(answered > 0 && cutOff > 0);
    const root = join(engine.dir, "root");
    for (const folder of [
      "content.v1.content/blobs/sha256",
      "content.v1.content/ingest",
      "snapshotter.v1.overlayfs/snapshots",
    ]) {
      assert.deepEqual(await readdir(join(root, `io.containerd.${folder}`)), [], folder);
    }
    // When its client goes, upstream's shim kills the `runc create` under way, and nobody knows of the cgroups that this had made.
    if (runtime === CONTROL) await removeCgroups(engine);
    await assertNoLeaks(engine, before);
  });
}
