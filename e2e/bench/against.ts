// Two builds of ours in one run, in turn, with one client: node e2e/bench/against.ts OTHER [-n ROUNDS], where OTHER is the build folder of another
// worktree. A ratio is ours over theirs: below 1 this build is faster. Ends with 1 if a median is above 1.05, which a change may cost at most.
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { ensurePackages } from "../../tools/debian.ts";
import { buildRootfs } from "../harness/images.ts";
import { type ShimKind, trimaranShim } from "../harness/shims.ts";
import { type Candidate, execsIn, inTurn } from "./in-turn.ts";
import { oneContainer } from "./latency.ts";
import { quickInvoke } from "./quick-invoke.ts";
import { ratioOf, short, summarize } from "./statistics.ts";

const MOST = 1.05;
/** Steps that a limit makes sense for; the others are parts of them, and shorter than what disturbs them. */
const JUDGED = new Set(["total", "exec"]);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: "string", short: "n", default: "100" } },
});
const rounds = Number(values.rounds);
const [other] = positionals;
if (other === undefined || positionals.length > 1 || !Number.isInteger(rounds) || rounds < 1)
  throw new Error("node e2e/bench/against.ts OTHER_BUILD [-n ROUNDS]");

await ensurePackages();
await buildRootfs();
const theirs = candidate("other", join(resolve(other), "bin/containerd-shim-trimaran-runc-v2"));
const ours = candidate("ours", trimaranShim());
const both = [ours, theirs];
await inTurn("containers", both, rounds, (yard) => () => oneContainer(yard));
await inTurn("execs", both, rounds * 2, execsIn);

console.log("| ms, p50 / p99 | ours | other | ours over other |\n|---|---|---|---|");
for (const [step, samples] of ours.samples) {
  const rival = theirs.samples.get(step) ?? [];
  const { median, lower, upper } = ratioOf(rival, samples);
  const cells = [samples, rival].map(summarize).map(({ p50, p99 }) => `${short(p50)} / ${short(p99)}`);
  console.log(`| ${step} | ${cells.join(" | ")} | ${short(median)} (${short(lower)} to ${short(upper)}) |`);
  if (JUDGED.has(step) && median > MOST) process.exitCode = 1;
}

function candidate(name: string, binary: string): Candidate {
  if (!existsSync(binary)) throw new Error(`${binary}: not built`);
  const path = "/usr/sbin:/usr/bin:/sbin:/bin";
  const kind: ShimKind = { name, binary, style: "1.6", isControl: false, path, invoke: quickInvoke };
  return { kind, samples: new Map() };
}
