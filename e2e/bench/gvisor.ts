// shim-gvisor against bare runsc, in turn; its memory beside shim-runc's: node e2e/bench/gvisor.ts [-n ROUNDS] [--readme].
// Prints Markdown; --readme writes it into the package's README, too.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ANY, packAny, runtimeoptions } from "@trimaran/proto";
import { buildRootfs } from "../harness/images.ts";
import { gvisorKinds, type ShimKind, ShimYard, trimaranShim } from "../harness/shims.ts";
import { bareContainer, bareExec } from "./bare-runsc.ts";
import { type GvisorSeries, renderGvisor } from "./gvisor-table.ts";
import { type Laps, oneContainer, oneExec } from "./latency.ts";
import { writeBetweenMarks } from "./markdown.ts";
import { measure, type PodMemory, startPod } from "./memory.ts";
import { machine } from "./report.ts";

const AT_ONCE = 20;
const POD_COUNTS = [1, 20];
const { values } = parseArgs({
  options: { rounds: { type: "string", short: "n", default: "20" }, readme: { type: "boolean", default: false } },
});
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`-n ${values.rounds}: not a number of rounds`);

await buildRootfs();
const kinds = (await gvisorKinds()).map(withoutNetwork);
const series: GvisorSeries[] = [];
for (const kind of kinds) series.push(await compare(kind));
const memory = new Map<string, readonly PodMemory[]>();
for (const kind of [...kinds, shimRunc()]) memory.set(kind.name, await memoryOf(kind));
const { cpu, memory: ram, system, node } = await machine();
const facts = `${cpu}, ${ram}, ${system}; Node ${node}; ${new Date().toISOString().slice(0, 10)}; ${rounds} rounds, in turn (${AT_ONCE} at once: 3).`;
const text = renderGvisor(facts, series, memory);
console.log(text);
if (values.readme) await writeBetweenMarks(join(import.meta.dirname, "../../packages/shim-gvisor/README.md"), text);

/** Without a network on both sides: bare runsc can't make one on newer kernels (network.ts of shim-gvisor). */
function withoutNetwork(kind: ShimKind): ShimKind {
  const body = runtimeoptions.v1.Options.encode({ configBody: Buffer.from("[runsc_config]\nnetwork = 'none'\n") });
  return { ...kind, options: packAny(ANY.runtimeOptions, body) };
}

function shimRunc(): ShimKind {
  const path = "/usr/sbin:/usr/bin:/sbin:/bin";
  return { name: "shim-runc", binary: trimaranShim(), style: "1.6", isControl: false, path };
}

async function compare(kind: ShimKind): Promise<GvisorSeries> {
  await using yard = await ShimYard.open(kind);
  const runsc = kind.name.includes("2024") ? join(kind.path.split(":")[0] ?? "", "runsc") : "/usr/bin/runsc";
  const ours = new Map<string, number[]>();
  const bare = new Map<string, number[]>();
  const pair = (warm: boolean, own: Laps, other: Laps) => {
    if (!warm) return;
    record(ours, own);
    record(bare, other);
  };
  for (let round = 0; round <= rounds; round++) {
    const { total = 0 } = await oneContainer(yard);
    pair(round > 0, { container: total }, await bareContainer(yard, runsc, `${round}`));
  }
  const pod = await startPod(yard);
  for (let round = 0; round <= rounds; round++)
    pair(round > 0, await oneExec(pod, `e${round}`), await bareExec(yard, runsc, pod.id));
  for (let round = 0; round < 3; round++) {
    const own = await atOnce(() => oneContainer(yard));
    pair(true, own, await atOnce((n) => bareContainer(yard, runsc, `once-${round}-${n}-`)));
  }
  process.stderr.write(`${kind.name}: ${rounds} rounds\n`);
  return { name: kind.name.replace(/^gvisor, /, ""), ours, bare };
}

async function atOnce(one: (n: number) => Promise<unknown>): Promise<Laps> {
  const began = performance.now();
  await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => one(n)));
  return { [`${AT_ONCE} at once`]: performance.now() - began };
}

async function memoryOf(kind: ShimKind): Promise<readonly PodMemory[]> {
  await using yard = await ShimYard.open(kind);
  const points: PodMemory[] = [];
  for (let pods = 1; pods <= Math.max(...POD_COUNTS); pods++) {
    await startPod(yard);
    if (POD_COUNTS.includes(pods)) points.push(await measure(yard, pods));
  }
  process.stderr.write(`memory: ${kind.name}\n`);
  return points;
}

function record(samples: Map<string, number[]>, laps: Laps): void {
  for (const [step, ms] of Object.entries(laps)) samples.set(step, [...(samples.get(step) ?? []), ms]);
}
