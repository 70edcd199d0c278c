// Ours against containerd-shim-runc-v2 + runc, in turn, with one client: node e2e/bench/run.ts [-n ROUNDS] [--readme].
// Writes build/bench.json; --readme writes the README's table, too.
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ensureContainerd2, ensurePackages } from "../../tools/debian.ts";
import { runContainer } from "../harness/container.ts";
import { startContainerd } from "../harness/containerd.ts";
import { buildImages, buildRootfs } from "../harness/images.ts";
import { CONTROL, TRIMARAN } from "../harness/matrix.ts";
import { type ShimKind, ShimYard, shimKinds, trimaranShim } from "../harness/shims.ts";
import { openFloor } from "./floor.ts";
import { execsOf, inTurn } from "./in-turn.ts";
import { oneContainer, oneExec } from "./latency.ts";
import { renderReport, writeBetweenMarks } from "./markdown.ts";
import { measure, type PodMemory, startPod } from "./memory.ts";
import { machine, type Report, type Series } from "./report.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", short: "n", default: "30" }, readme: { type: "boolean", default: false } },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`-n ${values.rounds}: not a number of rounds`);

await ensurePackages();
await ensureContainerd2();
await buildImages();
await buildRootfs();
if (!existsSync(trimaranShim())) console.error(`${trimaranShim()}: not built; the control runs alone`);
const kinds = (await candidates()).map((kind) => ({ kind, series: new Map<string, number[]>() }));

const floor = new Map<string, number[]>();
await containers();
await execs();
await ctrRuns();
const memory = await memories();
const series: Series[] = kinds.map(({ kind, series: samples }) => ({
  name: kind.name,
  samples: Object.fromEntries(samples),
}));
const report: Report = {
  at: new Date().toISOString(),
  machine: await machine(),
  rounds,
  series,
  memory,
  floor: Object.fromEntries(floor),
};
console.log(renderReport(report));
const file = join(import.meta.dirname, "../../build/bench.json");
await mkdir(join(file, ".."), { recursive: true });
await writeFile(file, `${JSON.stringify(report, null, 2)}\n`);
if (values.readme) await writeBetweenMarks(join(import.meta.dirname, "../../README.md"), renderReport(report));

/** Ours first, then both rivals; each as the containerd of its time starts it. */
async function candidates(): Promise<ShimKind[]> {
  process.env.E2E_RUNTIMES = existsSync(trimaranShim()) ? "all" : "control";
  const all = await shimKinds();
  return [...all.filter(({ name }) => name === "trimaran as 1.6"), ...all.filter(({ isControl }) => isControl)];
}

/** With the raw floor in the same rounds. */
async function containers(): Promise<void> {
  await using raw = await openFloor();
  const lap = async () => {
    for (const [step, ms] of Object.entries(await raw.life())) floor.set(step, [...(floor.get(step) ?? []), ms]);
  };
  await inTurn("containers", kinds, rounds, (yard, record) => async () => record(await oneContainer(yard)), lap);
}

async function execs(): Promise<void> {
  await inTurn("execs", kinds, rounds * 2, execsOf(startPod, oneExec));
}

/** `ctr run --rm` of `true` on containerd 1.6: everything a user waits for. */
async function ctrRuns(): Promise<void> {
  await using engine = await startContainerd({ version: "1.6" });
  const users = kinds.filter(({ kind }) => kind.style === "1.6");
  for (let round = 0; round <= rounds; round++) {
    for (const { kind, series: samples } of users) {
      const began = performance.now();
      const { code, stderr } = await runContainer(engine, kind.isControl ? CONTROL : TRIMARAN, {}, ["true"]);
      if (code !== 0) throw new Error(`${kind.name}: ctr run: ${code}: ${stderr}`);
      if (round > 0) samples.set("ctr run --rm", [...(samples.get("ctr run --rm") ?? []), performance.now() - began]);
    }
  }
  process.stderr.write(`ctr run: ${rounds} rounds\n`);
}

/** At 20, 40 and 60 pods: the slope is the price of a pod, without what is paid once. Fewer would measure when V8 collects. */
async function memories(): Promise<Readonly<Record<string, readonly PodMemory[]>>> {
  const result: Record<string, PodMemory[]> = {};
  for (const { kind } of kinds) {
    await using yard = await ShimYard.open(kind);
    const points: PodMemory[] = [];
    for (let pods = 1; pods <= 60; pods++) {
      await startPod(yard);
      if (pods % 20 === 0) points.push(await measure(yard, pods));
    }
    result[kind.name] = points;
    process.stderr.write(`memory: ${kind.name}\n`);
  }
  return result;
}
