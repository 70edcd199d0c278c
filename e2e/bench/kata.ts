// Machines: a clone against a cold boot, a container by steps, an exec against shim-runc's, and what a pod more costs.
//   node tools/subreap.ts node e2e/bench/kata.ts [-n ROUNDS] [--at-once CONTAINERS] [--readme]
// Prints Markdown; --readme writes it into the package's README, too. Everything is emulated where there is no kvm: a busy machine decides more than we do.
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ANY, packAny, runtimeoptions } from "@trimaran/proto";
import { processesOf } from "../harness/belongings.ts";
import { runContainer } from "../harness/container.ts";
import { BUILD_BIN, startContainerd } from "../harness/containerd.ts";
import { buildRootfs } from "../harness/images.ts";
import { KATA } from "../harness/matrix.ts";
import { type ShimKind, ShimYard, trimaranShim } from "../harness/shims.ts";
import { cpuMs } from "./cpu-time.ts";
import { type PodCost, podCost } from "./kata-memory.ts";
import { type KataFigures, renderKata } from "./kata-table.ts";
import { type Laps, oneContainer, oneExec } from "./latency.ts";
import { writeBetweenMarks } from "./markdown.ts";
import { startPod } from "./memory.ts";
import { machine } from "./report.ts";
import { serverLines } from "./server-log.ts";

/** An exec is short and varies: more of them a round. */
const EXECS_A_ROUND = 5;
/** The first ones translate what they run. */
const WARM_EXECS = 10;
const EXEC_PARTS = [
  ["machine", /^\S*qemu-system/],
  ["server", / --serve/],
  ["bridge", /fsbridge host/],
  ["daemon", /^\S*virtiofsd/],
] as const;
const RUN_LIMIT_MS = 300_000;
const { values } = parseArgs({
  options: {
    rounds: { type: "string", short: "n", default: "20" },
    "at-once": { type: "string", default: "20" },
    readme: { type: "boolean", default: false },
  },
});
const AT_ONCE = Number(values["at-once"]);
if (!Number.isInteger(AT_ONCE) || AT_ONCE < 1)
  throw new Error(`--at-once ${values["at-once"]}: not a number of containers`);
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`-n ${values.rounds}: not a number of rounds`);

const path = "/usr/sbin:/usr/bin:/sbin:/bin";
const RUNC: ShimKind = { name: "shim-runc", binary: trimaranShim(), style: "2.3", isControl: false, path };
const CLONE: ShimKind = {
  ...RUNC,
  name: "shim-kata",
  binary: join(BUILD_BIN, "containerd-shim-trimaran-kata-v2"),
};
const COLD: ShimKind = {
  ...CLONE,
  name: "shim-kata, cold boot",
  options: config("[factory]\nenable_template = false\n"),
};

await buildRootfs();
const samples = new Map<string, number[]>();
await startsAndExecs();
await atOnce();
await ctrRun();
const memory = await memoryOfPods();
const facts = await machine();
const figures: KataFigures = {
  machine: `${facts.cpu}, ${facts.memory}, ${facts.system}; Node ${facts.node}; ${facts["containerd 2.x"]}; ${new Date().toISOString().slice(0, 10)}; ${rounds} rounds, in turn (${AT_ONCE} at once: one).`,
  atOnce: AT_ONCE,
  samples,
  memory,
};
const text = renderKata(figures);
console.log(text);
if (values.readme) await writeBetweenMarks(join(import.meta.dirname, "../../packages/shim-kata/README.md"), text);

function config(body: string): NonNullable<ShimKind["options"]> {
  return packAny(ANY.runtimeOptions, runtimeoptions.v1.Options.encode({ configBody: Buffer.from(body) }));
}

function record(prefix: string, laps: Laps): void {
  for (const [step, value] of Object.entries(laps)) {
    const name = `${prefix} ${step}`;
    samples.set(name, [...(samples.get(name) ?? []), value]);
  }
}

/** A container on a clone, on a cold boot and without a machine, then execs in pods of two kinds. */
async function startsAndExecs(): Promise<void> {
  await using clone = await ShimYard.open(CLONE);
  await using cold = await ShimYard.open(COLD);
  await using runc = await ShimYard.open(RUNC);
  const sides = [
    ["clone", clone],
    ["cold", cold],
    ["runc", runc],
  ] as const;
  for (let round = 0; round <= rounds; round++) {
    for (const [name, yard] of sides) {
      const laps = await oneContainer(yard);
      if (round > 0) record(name, laps); // the first one makes the template, and starts the task servers
    }
  }
  for (const [name, yard] of sides.slice(0, 2)) await recordLog(name, yard);
  const pods = [
    ["clone", await startPod(clone)],
    ["runc", await startPod(runc)],
  ] as const;
  const parts = await partsOf(clone);
  for (let round = -WARM_EXECS; round < rounds * EXECS_A_ROUND; round++) {
    for (const [name, pod] of pods) {
      const before = parts.map(([, pids]) => cpuOf(pids));
      const laps = await oneExec(pod, `e${round}`);
      const cpu = parts.map(([part, pids], i) => [`cpu ${part}`, cpuOf(pids) - (before[i] ?? 0)] as const);
      if (round >= 0) record(name, name === "clone" ? { ...laps, ...Object.fromEntries(cpu) } : laps);
    }
  }
  process.stderr.write(`starts and execs: ${rounds} rounds\n`);
}

/** The processes of a yard with one machine that an exec costs something. The file daemon is two: the one in the sandbox, and its parent. */
async function partsOf(yard: ShimYard): Promise<readonly (readonly [name: string, pids: readonly number[]])[]> {
  const processes = await processesOf(yard);
  return EXEC_PARTS.map(([name, command]) => {
    const found = processes.filter(({ command: line }) => command.test(line));
    if (found.length === 0) throw new Error(`no process is ${command}`);
    return [name, found.map(({ pid }) => pid)] as const;
  });
}

function cpuOf(pids: readonly number[]): number {
  return pids.reduce((sum, pid) => sum + cpuMs(pid), 0);
}

/** What the task server has measured itself: the parts of Create. */
async function recordLog(name: string, yard: ShimYard): Promise<void> {
  const lines = await serverLines(yard);
  const ready = lines.filter(({ msg }) => msg === "guest ready").slice(1);
  const created = lines.filter(({ msg }) => msg === "container ready").slice(1);
  const expected = name === "clone" ? "clone" : "cold";
  const other = ready.find(({ origin }) => origin !== expected);
  if (other) throw new Error(`${name}: a machine's origin was ${JSON.stringify(other.origin)}`);
  for (const line of ready)
    record(name, pick(line, { ready: "duration_ms", qemu: "qemu_ms", wake: "wake_ms", answer: "answer_ms" }));
  for (const line of created) record(name, pick(line, { prepare: "prepare_ms", inside: "create_ms" }));
}

function pick(line: Readonly<Record<string, unknown>>, fields: Readonly<Record<string, string>>): Laps {
  return Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, Number(line[field])]));
}

/** So many containers at once, each on a clone of its own, with the template there. */
async function atOnce(): Promise<void> {
  await using yard = await ShimYard.open(CLONE);
  await oneContainer(yard);
  const began = performance.now();
  await Promise.all(Array.from({ length: AT_ONCE }, () => oneContainer(yard)));
  record("clone", { "at once": performance.now() - began });
  process.stderr.write(`${AT_ONCE} at once\n`);
}

/** `ctr run --rm` of `true`, from its start to its end. */
async function ctrRun(): Promise<void> {
  await using engine = await startContainerd({ version: "2.x" });
  for (let round = 0; round <= rounds; round++) {
    const began = performance.now();
    const { code, stderr } = await runContainer(engine, KATA, { timeoutMs: RUN_LIMIT_MS }, ["true"]);
    if (code !== 0) throw new Error(`ctr run: ${code}: ${stderr}`);
    if (round > 0) record("clone", { ctr: performance.now() - began });
  }
  process.stderr.write(`ctr run: ${rounds} rounds\n`);
}

async function memoryOfPods(): Promise<PodCost> {
  await using yard = await ShimYard.open(CLONE);
  const cost = await podCost(yard);
  process.stderr.write("memory\n");
  return cost;
}
