import assert from "node:assert/strict";
import { test } from "node:test";
import { runChaos, seededRandom } from "./chaos/run.ts";
import { startContainerd } from "./harness/containerd.ts";
import { assertNoLeaks, snapshot } from "./harness/leaks.ts";
import { PATIENCE } from "./harness/patience.ts";

// More by hand: npm run chaos -- --lives 1000
test("20 lives under strikes at task server, monitors and our daemon: nothing is lost, nothing is left", async (t) => {
  await using engine = await startContainerd({ version: "2.x", daemon: "trimaran" });
  const before = await snapshot(engine);
  const options = { runtime: "runc", lives: 20, lanes: 6, pauseMs: 1000, random: seededRandom(Date.now()) } as const;
  const { lost, strikes, outcomes } = await runChaos(engine, options);
  t.diagnostic(`${JSON.stringify(outcomes)} ${[...strikes].map(([strike, count]) => `${strike} ${count}`).join(", ")}`);
  assert.deepEqual(lost, []);
  assert.ok(strikes.size > 0, "nothing was hit");
  await assertNoLeaks(engine, before, 45_000 * PATIENCE);
});
