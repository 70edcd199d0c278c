// shim-gvisor against bare runsc, in turn: node e2e/bench/gvisor.ts [-n ROUNDS]. Prints Markdown.
import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { ANY, packAny, runtimeoptions } from "@trimaran/proto";
import { Bundle } from "../harness/bundle.ts";
import { buildRootfs } from "../harness/images.ts";
import { runOk } from "../harness/process.ts";
import { gvisorKinds, type ShimKind, ShimYard } from "../harness/shims.ts";
import { type Laps, oneContainer, oneExec } from "./latency.ts";
import { ratioOf, short, summarize } from "./statistics.ts";

const AT_ONCE = 20;
const { values } = parseArgs({ options: { rounds: { type: "string", short: "n", default: "20" } } });
const rounds = Number(values.rounds);
if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`-n ${values.rounds}: not a number of rounds`);

await buildRootfs();
console.log("| ms, p50 / p99 | shim-gvisor | bare runsc | difference, p50 | ratio |\n|---|---|---|---|---|");
for (const kind of await gvisorKinds()) await compare(kind);

/** Without a network on both sides: bare runsc can't make one on newer kernels (network.ts of shim-gvisor). */
async function compare(kind: ShimKind): Promise<void> {
  const body = runtimeoptions.v1.Options.encode({ configBody: Buffer.from("[runsc_config]\nnetwork = 'none'\n") });
  await using yard = await ShimYard.open({ ...kind, options: packAny(ANY.runtimeOptions, body) });
  const runsc = kind.name.includes("2024") ? join(kind.path.split(":")[0] ?? "", "runsc") : "/usr/bin/runsc";
  const ours = new Map<string, number[]>();
  const bare = new Map<string, number[]>();
  for (let round = 0; round <= rounds; round++) {
    const [own, other] = [await oneContainer(yard), await bareContainer(yard, runsc, round)];
    if (round === 0) continue; // that one warms up
    record(ours, { container: own.total ?? 0 });
    record(bare, other);
  }
  const pod = await yard.start(["sleep", "1000"]);
  await pod.create();
  await pod.shim.task.start({ id: pod.id });
  const state = `--root=/run/containerd/runsc/${yard.tag}`;
  for (let round = 0; round <= rounds; round++) {
    const own = await oneExec(pod, `e${round}`);
    const [exec = 0] = await timed([`${runsc} ${state} exec ${pod.id} true`]);
    if (round === 0) continue;
    record(ours, own);
    record(bare, { exec });
  }
  for (let round = 0; round < 3; round++) {
    const began = performance.now();
    await Promise.all(Array.from({ length: AT_ONCE }, () => oneContainer(yard)));
    const own = performance.now() - began;
    const again = performance.now();
    await Promise.all(Array.from({ length: AT_ONCE }, (_, n) => bareContainer(yard, runsc, 1000 + n)));
    record(ours, { [`${AT_ONCE} at once`]: own });
    record(bare, { [`${AT_ONCE} at once`]: performance.now() - again });
  }
  for (const [step, own] of ours) console.log(row(`${kind.name}: ${step}`, own, bare.get(step) ?? []));
}

/** create, start, wait, delete of `true` by a shell, its rootfs mounted beforehand. */
async function bareContainer(yard: ShimYard, runsc: string, round: number): Promise<Laps> {
  const id = `${yard.tag}-bare-${round}`;
  yard.ids.push(id);
  await using bundle = await Bundle.make(yard.containerd.dir, { namespace: yard.tag, id, args: ["true"] });
  const [{ options = [] } = {}] = bundle.mounts;
  const rootfs = join(bundle.path, "rootfs");
  const root = join(dirname(bundle.path), "bare");
  await mkdir(root, { recursive: true });
  await runOk(["mount", "-t", "overlay", "overlay", "-o", options.join(","), rootfs]);
  try {
    const command = `${runsc} --root=${root} --network=none`;
    const verbs = [`create -bundle ${bundle.path} ${id}`, `start ${id}`, `wait ${id}`, `delete ${id}`];
    const times = await timed(verbs.map((verb) => `${command} ${verb}`));
    return { container: times.reduce((sum, ms) => sum + ms, 0) };
  } finally {
    await runOk(["umount", rootfs]);
    await rm(join(root, id), { recursive: true, force: true });
  }
}

/** Milliseconds of each command, taken by the shell that runs them: no start of a big process is in it. */
async function timed(commands: readonly string[]): Promise<number[]> {
  // a wait that comes too late, when the sandbox has ended, fails
  const quiet = (command: string) => `${command} </dev/null >/dev/null 2>&1`;
  const script = commands.map(
    (command) => `${quiet(command)} || ${/ wait /.test(command) ? "true" : "exit 1"}; echo $EPOCHREALTIME`,
  );
  const stdout = await runOk(["bash", "-c", `echo $EPOCHREALTIME; ${script.join("; ")}`]);
  const at = stdout.trim().split("\n").map(Number);
  return at.slice(1).map((time, n) => (time - (at[n] ?? Number.NaN)) * 1000);
}

function record(samples: Map<string, number[]>, laps: Laps): void {
  for (const [step, ms] of Object.entries(laps)) samples.set(step, [...(samples.get(step) ?? []), ms]);
}

function row(name: string, own: readonly number[], bare: readonly number[]): string {
  const cell = (times: readonly number[]) => {
    const { p50, p99 } = summarize(times);
    return `${short(p50)} / ${short(p99)}`;
  };
  const { median, lower, upper } = ratioOf(own, bare);
  const difference = summarize(own).p50 - summarize(bare).p50;
  const lost = median < 1 ? " **lost**" : "";
  const ratio = `${short(median)} (${short(lower)} to ${short(upper)})${lost}`;
  return `| ${[name, cell(own), cell(bare), `${difference > 0 ? "+" : ""}${short(difference)}`, ratio].join(" | ")} |`;
}
