import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { processesOf } from "./harness/belongings.ts";
import { EXEC_DRAIN_S } from "./harness/config.ts";
import type { Engine } from "./harness/containerd.ts";
import { criMatrix } from "./harness/cri/matrix.ts";
import type { PodContainer } from "./harness/cri/pod.ts";
import { PATIENCE } from "./harness/patience.ts";

/** Per second, for some seconds. Each `runsc exec` costs a core 50 ms and more, an exec in an emulated machine as much as that. */
const RATES = { plain: { perSecond: 20, seconds: 10 }, costly: { perSecond: 4, seconds: 10 } } as const;
/** How long a shim waits for output that is held after its process has ended: ours, and upstream's. */
const OUTPUT_LIMIT_MS = { ours: 2000, upstream: 10_000 } as const;
/** What a busy machine adds. */
const SLACK_MS = 1500 * PATIENCE;

/** A probe that says its number and ends with a status of its own. */
async function probe(box: PodContainer, number: number): Promise<void> {
  const { stdout, stderr, exitCode } = await box.exec(["sh", "-c", `echo ${number}; exit ${number % 3}`]);
  assert.deepEqual([String(stdout), String(stderr), exitCode], [`${number}\n`, "", number % 3]);
}

/** At their times, whether earlier ones have ended or not. Each is waited for. */
async function probeAtRate(box: PodContainer, perSecond: number, seconds: number): Promise<number> {
  const begun = performance.now();
  const probes: Promise<void>[] = [];
  for (let number = 0; number < perSecond * seconds; number++) {
    await delay(Math.max(0, begun + (number * 1000) / perSecond - performance.now()));
    probes.push(probe(box, number));
  }
  await Promise.all(probes);
  return probes.length;
}

/** Open descriptors of containerd, monitors, task servers and all else that is the engine's; and how many processes that is. */
async function usage(engine: Engine): Promise<{ readonly descriptors: number; readonly processes: number }> {
  const pids = (await processesOf(engine)).map(({ pid }) => pid);
  const counts = pids.map(async (pid) => (await readdir(`/proc/${pid}/fd`).catch(() => [])).length);
  return { descriptors: (await Promise.all(counts)).reduce((sum, each) => sum + each, 0), processes: pids.length };
}

/** Until it is no more than that: what has just ended may take a moment. */
async function settles(engine: Engine, before: { readonly descriptors: number; readonly processes: number }) {
  const until = Date.now() + 5000 * PATIENCE;
  for (;;) {
    const now = await usage(engine);
    if (now.descriptors <= before.descriptors + 8 && now.processes <= before.processes) return;
    if (Date.now() > until) {
      const commands = (await processesOf(engine)).map(({ command }) => command.slice(0, 120)).join("\n  ");
      assert.fail(`grew from ${JSON.stringify(before)} to ${JSON.stringify(now)}:\n  ${commands}`);
    }
    await delay(100);
  }
}

async function failure(call: Promise<unknown>): Promise<{ readonly words: string; readonly tookMs: number }> {
  const begun = performance.now();
  const words = await call.then(
    () => assert.fail("it has succeeded"),
    (error: { readonly details: string }) => error.details,
  );
  return { words, tookMs: performance.now() - begun };
}

criMatrix("CRI's probes", ({ version, isControl, isGvisor, isKata, withPod }) => {
  const limitMs = EXEC_DRAIN_S * 1000 + OUTPUT_LIMIT_MS[isControl ? "upstream" : "ours"] + SLACK_MS;
  const { perSecond, seconds } = isGvisor || isKata ? RATES.costly : RATES.plain;
  withPod(
    `${perSecond} exec probes a second for ${seconds} s: none lost, nothing left of them`,
    async (pod, { engine }) => {
      const box = await pod.start("box", ["sleep", "1000"]);
      await probeAtRate(box, perSecond, 1); // from here on everything has been used once
      await delay(500);
      const before = await usage(engine);
      assert.equal(await probeAtRate(box, perSecond, seconds), perSecond * seconds);
      await settles(engine, before);
    },
  );

  // containerd waits for the end of the output, without a bound in 1.6: only a shim that ends it keeps the limit
  if (!isControl || version === "2.x")
    withPod("a probe that takes too long is told in time, though a child of its holds its output", async (pod) => {
      const box = await pod.start("box", ["sleep", "1000"]);
      const { words, tookMs } = await failure(box.exec(["sh", "-c", "sleep 1000 & sleep 1000"], 1));
      assert.match(words, /timeout 1s exceeded|failed to drain exec process/);
      assert.ok(tookMs < 1000 + limitMs, `${tookMs} ms`);
      assert.equal((await box.exec(["true"])).exitCode, 0);
    });

  if (version === "2.x")
    withPod(
      "a probe that has ended, and whose child holds its output, fails when the drain limit is over",
      async (pod) => {
        const box = await pod.start("box", ["sleep", "1000"]);
        const { words, tookMs } = await failure(box.exec(["sh", "-c", "sleep 1000 & echo hello"], 1));
        assert.match(words, /failed to drain exec process .* io is still held by other processes/);
        assert.ok(tookMs < limitMs, `${tookMs} ms`);
      },
    );
});
