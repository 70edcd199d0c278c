/**
 * Ours against containerd-shim-runc-v2 with runc and with crun, in turn, with one client: node e2e/bench/run.ts [-n ROUNDS] [--readme].
 * Writes build/bench.json; --readme writes the README's tables and docs/bench.svg, too. On a machine that does nothing else.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";
import { ensureContainerd2, ensurePackages } from "../../tools/debian.ts";
import { processesOf } from "../harness/belongings.ts";
import { runContainer } from "../harness/container.ts";
import { startContainerd } from "../harness/containerd.ts";
import { buildImages, buildRootfs } from "../harness/images.ts";
import { CONTROL, TRIMARAN } from "../harness/matrix.ts";
import { ShimYard } from "../harness/shims.ts";
import { Candidates } from "./candidates.ts";
import { cpuOf } from "./cpu-time.ts";
import { gather } from "./crowd.ts";
import { openFloor } from "./floor.ts";
import { addLaps, execsIn, inTurn } from "./in-turn.ts";
import { oneContainer } from "./latency.ts";
import { renderReport, writeBetweenMarks } from "./markdown.ts";
import { type PodMemory, startPod } from "./memory.ts";
import { drawReport } from "./plot.ts";
import { machine, type Report } from "./report.ts";
import { streamOut } from "./throughput.ts";
import { startTogether } from "./together.ts";
import { compareTtrpc } from "./ttrpc.ts";

const ROOT = join(import.meta.dirname, "../..");
const STREAMS = 5;
const TOGETHER = 5;
/** Shims run for weeks, and programs that are compiled while they run are slow at first: what is measured is the time after. */
const WARM_UP = 40;
const BOOTS = 3;
const COLD_STARTS = 5;
/** By then a task server has written down its compiled code. */
const CODE_KEPT_MS = 5000;

const { values } = parseArgs({
  options: { rounds: { type: "string", short: "n", default: "30" }, readme: { type: "boolean", default: false } },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`-n ${values.rounds}: not a number of rounds`);

await ensurePackages();
await ensureContainerd2();
await buildImages();
await buildRootfs();
await using candidates = await Candidates.open();
const kinds = candidates.kinds.map((kind) => ({ kind, samples: new Map<string, number[]>() }));
const floor = new Map<string, number[]>();

await containers();
await inTurn("exec, processor time", kinds, Math.max(rounds, 30) * 2, execsIn, { around: cpuOf, warmUp: WARM_UP });
await coldStarts();
await ctrRuns();
await inTurn("stdout", kinds, STREAMS, (yard) => () => streamOut(yard));
await together();
const { memory, atRest } = await crowds();
const ttrpc = await compareTtrpc();
const report: Report = {
  at: new Date().toISOString(),
  machine: await machine(),
  rounds,
  warmUp: WARM_UP,
  series: kinds.map(({ kind, samples }) => ({ name: kind.name, samples: Object.fromEntries(samples) })),
  memory,
  atRest,
  floor: Object.fromEntries(floor),
  ttrpc,
};
console.log(renderReport(report));
await mkdir(join(ROOT, "build"), { recursive: true });
await writeFile(join(ROOT, "build/bench.json"), `${JSON.stringify(report, null, 2)}\n`);
if (values.readme) {
  await mkdir(join(ROOT, "docs"), { recursive: true });
  await writeFile(join(ROOT, "docs/bench.svg"), drawReport(report));
  await writeBetweenMarks(join(ROOT, "README.md"), renderReport(report));
}

/** With the raw floor in the same rounds. */
async function containers(): Promise<void> {
  await using raw = await openFloor();
  const alongside = async () => addLaps(floor, await raw.life());
  await inTurn("containers", kinds, rounds, (yard) => () => oneContainer(yard), { alongside, warmUp: WARM_UP });
}

/** Bootstrap where no task server runs, as after a sleep, and the first one since the machine's boot, which compiles all code: ours alone has one. */
async function coldStarts(): Promise<void> {
  for (const { kind, samples } of kinds.filter((each) => !each.kind.isControl)) {
    for (let boot = 0; boot < BOOTS; boot++) {
      await using yard = await ShimYard.open(kind);
      const first = await oneContainer(yard);
      addLaps(samples, { "bootstrap, first of a boot": first.bootstrap ?? Number.NaN });
      await delay(CODE_KEPT_MS);
      for (let round = 0; round < COLD_STARTS; round++) {
        for (const { pid } of await serversOf(yard)) process.kill(pid, "SIGKILL");
        while ((await serversOf(yard)).length > 0) await delay(1);
        const { bootstrap = Number.NaN } = await oneContainer(yard);
        addLaps(samples, { "bootstrap, cold": bootstrap });
      }
    }
  }
}

async function serversOf(yard: ShimYard) {
  return (await processesOf(yard)).filter(({ command }) => command.endsWith(" --serve"));
}

/** `ctr run --rm` of `true` on containerd 1.6: everything a user waits for. */
async function ctrRuns(): Promise<void> {
  await using engine = await startContainerd({ version: "1.6" });
  const users = kinds.filter(({ kind }) => kind.style === "1.6" && !kind.name.includes("crun"));
  for (let round = 0; round <= rounds; round++) {
    for (const { kind, samples } of users) {
      const began = performance.now();
      const { code, stderr } = await runContainer(engine, kind.isControl ? CONTROL : TRIMARAN, {}, ["true"]);
      if (code !== 0) throw new Error(`${kind.name}: ctr run: ${code}: ${stderr}`);
      if (round > 0) addLaps(samples, { "ctr run --rm": performance.now() - began });
    }
  }
  process.stderr.write(`ctr run: ${rounds} rounds\n`);
}

/** A yard for each sample, with a task server that has served before: what is started stays until the end of it. */
async function together(): Promise<void> {
  for (let round = 0; round < TOGETHER; round++) {
    for (const { kind, samples } of kinds) {
      await using yard = await ShimYard.open(kind);
      await startPod(yard);
      addLaps(samples, await startTogether(yard));
    }
  }
  process.stderr.write(`starts at once: ${TOGETHER} rounds\n`);
}

async function crowds(): Promise<Pick<Report, "memory" | "atRest">> {
  const memory: Record<string, readonly PodMemory[]> = {};
  const atRest: Record<string, PodMemory> = {};
  for (const { kind, samples } of kinds) {
    const crowd = await gather(kind);
    memory[kind.name] = crowd.memory;
    atRest[kind.name] = crowd.atRest;
    samples.set("starts 2 to 11", [...crowd.firstMs]);
    samples.set("starts 291 to 300", [...crowd.lastMs]);
    process.stderr.write(`a crowd: ${kind.name}\n`);
  }
  return { memory, atRest };
}
