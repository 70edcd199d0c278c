/**
 * `npm run fuzz:long [-- --minutes 10]`: each fuzzer for that long, two at a time; as root, for the layers. What a run ends with is said at its end:
 * a finding makes the exit status 1, its input is kept in the corpus that the fuzzer names.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { globSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const ROOT = join(import.meta.dirname, "../..");
const AT_A_TIME = 2;
const { values } = parseArgs({ options: { minutes: { type: "string", default: "10" } } });
const seconds = Number(values.minutes) * 60;
const seed = Date.now() % 2 ** 32;

/** The C side is built with the address and undefined-behaviour sanitizers. */
const inC = ["program", "link", "conn"].map((name) => [
  join(ROOT, `build/monitor/fuzz-${name}`),
  String(seconds),
  String(seed),
  ...globSync(join(ROOT, "packages/monitor/c/fuzz/corpus", name, "*")),
]);
const node = (script: string, ...args: readonly string[]) => [process.execPath, join(ROOT, script), ...args];
const runs = [
  ...inC,
  node("packages/ttrpc-ts/fuzz/fuzz.ts", "--seconds", String(seconds), "--seed", String(seed)),
  node("packages/manager/fuzz/layers.ts", String(seed), "Infinity", String(seconds)),
  ...globSync("packages/*/fuzz/parsers.ts", { cwd: ROOT })
    .sort()
    .map((path) => node("tools/fuzz/run.ts", "--package", path, "--seconds", String(seconds), "--seed", String(seed))),
];

async function run(argv: readonly string[]): Promise<boolean> {
  const [file = "", ...args] = argv;
  const child = spawn(file, args, { stdio: ["ignore", "inherit", "inherit"], cwd: ROOT });
  const [code] = await once(child, "exit");
  console.log(`${code === 0 ? "clean" : `FOUND (exit status ${code})`}: ${argv.slice(0, 8).join(" ")}`);
  return code === 0;
}

async function take(): Promise<boolean> {
  let clean = true;
  for (let argv = runs.shift(); argv !== undefined; argv = runs.shift()) clean = (await run(argv)) && clean;
  return clean;
}

const make = spawn("make", ["-s", "-C", join(ROOT, "packages/monitor/c"), "fuzz"], { stdio: "inherit" });
const [built] = await once(make, "exit");
if (built !== 0) throw new Error("the fuzzers in C cannot be built");
const results = await Promise.all(Array.from({ length: AT_A_TIME }, take));
process.exitCode = results.every(Boolean) ? 0 : 1;
