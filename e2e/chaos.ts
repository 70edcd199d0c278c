// Lives of containers while what they hang on is killed or stopped at random; nothing may be lost, nothing left behind:
//   npm run chaos -- --lives 1000 [--runtime runc|gvisor|kata|control] [--engine 2.x|1.6|trimaran] [--seed N] [--at-once N]
// Exit status 0 only if all is well. The seed decides who is hit and by what; when, the machine decides.
import { parseArgs } from "node:util";
import { summarize } from "./bench/statistics.ts";
import { type ChaosReport, removeHalfRemoved, runChaos, seededRandom } from "./chaos/run.ts";
import { grouped, openEngine, parseCount, parseEngine, parseRuntime } from "./harness/driver.ts";
import { assertNoLeaks, snapshot } from "./harness/leaks.ts";
import { PATIENCE } from "./harness/patience.ts";

const { values } = parseArgs({
  options: {
    lives: { type: "string", default: "1000" },
    runtime: { type: "string", default: "runc" },
    engine: { type: "string", default: "2.x" },
    seed: { type: "string", default: "1" },
    "at-once": { type: "string", default: "6" },
  },
});
const lives = parseCount("--lives", values.lives);
const lanes = parseCount("--at-once", values["at-once"]);
const seed = parseCount("--seed", values.seed);
const [engineName, runtime] = [parseEngine(values.engine), parseRuntime(values.runtime)];
const EVERY = Math.max(10, Math.floor(lives / 10));
const PAUSE_MS = 1500;
/** A monitor whose engine died before it had connected waits 30 s for another. */
const SETTLE_MS = 45_000 * PATIENCE;

await using engine = await openEngine(engineName, runtime);
const before = await snapshot(engine);
const began = performance.now();
const random = seededRandom(seed);
const report = await runChaos(engine, {
  runtime,
  lives,
  lanes,
  pauseMs: PAUSE_MS,
  random,
  onProgress,
  onLost: (error) => console.log(error),
});
if (report.lost.length > 0) console.log(`the log: ${engine.logPath}`);
const halfRemoved = await removeHalfRemoved(engine);
let leaked = "leaked 0";
try {
  await assertNoLeaks(engine, before, SETTLE_MS);
} catch (error) {
  leaked = String(error);
}
const theirs = halfRemoved > 0 ? ` (and ${halfRemoved} half-removed bundles of containerd's own)` : "";
console.log(`${summary(report)}; ${leaked}${theirs}`);
if (report.lost.length > 0 || leaked !== "leaked 0") process.exitCode = 1;

function onProgress({ outcomes, lost }: ChaosReport): void {
  const done = outcomes.whole + outcomes.struck + outcomes.forgotten + lost.length;
  if (done % EVERY === 0)
    console.log(
      `${grouped(done)} lives after ${((performance.now() - began) / 1000).toFixed(0)} s, lost ${lost.length}`,
    );
}

function summary({ outcomes, strikes, answeredMs, lost }: ChaosReport): string {
  const { whole, struck, forgotten } = outcomes;
  const hits = [...strikes].map(([strike, count]) => `${strike} ${count}`).join(", ");
  const unknown = forgotten > 0 ? `, ${forgotten} ended while containerd was down, which then forgets them` : "";
  const times = answeredMs.length > 0 ? summarize(answeredMs) : undefined;
  const answer = times
    ? `; from kill -STOP to State: p50 ${times.p50.toFixed(0)} ms, p99 ${times.p99.toFixed(0)} ms`
    : "";
  return `${values.runtime} on ${values.engine}: ${grouped(lives)} lives (${whole} whole, ${struck} struck down${unknown}); ${hits}${answer}; lost ${lost.length}`;
}
