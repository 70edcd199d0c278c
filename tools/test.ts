/**
 * `npm test`: everything, from a fresh clone. Sets up what is missing (Debian packages, containerd 2.x), builds, then runs the parts one after
 * the other, those that only compute beside them: a line for each, and the output of those that failed. `npm test -- --only=unit,e2e:cli` runs some;
 * `--verbose` shows all output.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./build.ts";
import { ensureContainerd2, ensureGuestKernel, ensurePackages, ensureRecentCriu, ensureRecentRunsc } from "./debian.ts";
import { ensureGuestImage } from "./guest/image.ts";
import { chooseParts, listParts, type Part } from "./test/parts.ts";
import { type Outcome, runPart } from "./test/run-part.ts";

const ROOT = dirname(import.meta.dirname);
const TAIL_LINES = 200;
const SHORT_LINES = 30;

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { only: { type: "string" }, verbose: { type: "boolean", default: false } } });
  const parts = chooseParts(listParts(ROOT), values.only);
  if (process.getuid?.() !== 0) throw new Error("needs root, for namespaces, mounts and containerd: sudo npm test");
  await timed("set-up", async () => {
    await ensurePackages();
    await ensureContainerd2();
    await ensureRecentRunsc();
    await ensureRecentCriu();
    await ensureGuestKernel();
    await build();
    if (process.arch === "x64") await ensureGuestImage(); // there are no others yet
  });
  const logs = join(ROOT, "build/test");
  mkdirSync(logs, { recursive: true });
  const state = mkdtempSync(join(tmpdir(), "trimaran-test-"));
  const env = { ...process.env, NX_DAEMON: "false", NX_NO_CLOUD: "true", TRIMARAN_STATE: state };
  const outcomes: Outcome[] = [];
  let interrupted = false;
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => (interrupted = true));
  const inTurn = async (lane: readonly Part[]) => {
    for (const part of lane) {
      if (interrupted) break;
      const outcome = await runPart(part, ROOT, values.verbose ? undefined : logs, env);
      report(outcome);
      outcomes.push(outcome);
    }
  };
  try {
    await Promise.all(
      [false, true].map((isAside) => inTurn(parts.filter((part) => (part.isAside ?? false) === isAside))),
    );
  } finally {
    rmSync(state, { recursive: true, force: true });
  }
  return conclude(outcomes, interrupted);
}

function report({ part, passed, why, durationMs, logPath }: Outcome): void {
  line(part.name, passed ? "passed" : "FAILED", durationMs, passed ? "" : why);
  if (passed || logPath === undefined) return;
  const lines = readFileSync(logPath, "utf8").trimEnd().split("\n");
  console.log(lines.slice(-TAIL_LINES).join("\n"));
  console.log(
    `--- ${part.name}: the last ${Math.min(lines.length, TAIL_LINES)} of ${lines.length} lines of ${logPath}`,
  );
}

/** Once more at the end, in short: the parts' own output may be far above. */
function sayWhatFailed({ part, passed, logPath }: Outcome): void {
  if (passed || logPath === undefined) return;
  const lines = readFileSync(logPath, "utf8").trimEnd().split("\n");
  const summary = lines.lastIndexOf("✖ failing tests:");
  const shown = summary >= 0 ? lines.slice(summary, summary + SHORT_LINES) : lines.slice(-SHORT_LINES);
  console.log(`--- ${part.name}\n${shown.join("\n")}`);
}

function conclude(outcomes: readonly Outcome[], interrupted: boolean): number {
  const failed = outcomes.filter(({ passed }) => !passed).map(({ part }) => part.name);
  for (const outcome of outcomes) sayWhatFailed(outcome);
  const words = failed.length > 0 ? `failed: ${failed.join(" ")}` : `all ${outcomes.length} parts passed`;
  line("total", interrupted ? "interrupted" : words, performance.now());
  if (failed.length > 0) console.log(`again: npm test -- --only=${failed.join(",")}`);
  return failed.length === 0 && !interrupted ? 0 : 1;
}

async function timed(name: string, work: () => Promise<void>): Promise<void> {
  const startedAt = performance.now();
  await work();
  line(name, "done", performance.now() - startedAt);
}

function line(name: string, state: string, durationMs: number, why = ""): void {
  console.log(`${name.padEnd(22)}${(durationMs / 1000).toFixed(1).padStart(7)} s  ${state}${why && `: ${why}`}`);
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`test: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
