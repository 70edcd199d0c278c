/**
 * `npm run fuzz:long [-- --minutes 10 [--per-parser]]`: each fuzzer for that long, two at a time; as root, for the layers. A package's parsers share its time, unless each is to have
 * all of it (hours). The first finding ends it all, with an exit status of 1; its input is kept in the corpus that the fuzzer names, or in the seed that the layers' fuzzer names.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { globSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

const ROOT = join(import.meta.dirname, "../..");
const AT_A_TIME = 2;
const { values } = parseArgs({
  options: { minutes: { type: "string", default: "10" }, "per-parser": { type: "boolean", default: false } },
});
const seconds = Number(values.minutes) * 60;
const seed = Date.now() % 2 ** 32;

/** The C side is built with the address and undefined-behaviour sanitizers: each with its package and its corpora. */
const IN_C = { monitor: ["program", "link", "conn"], fsbridge: ["host", "guest"] } as const;
const inC = Object.entries(IN_C).flatMap(([name, targets]) =>
  targets.map((target) => [
    join(ROOT, "build", name, `fuzz-${target}`),
    String(seconds),
    String(seed),
    ...globSync(join(ROOT, "packages", name, "c/fuzz/corpus", target, "*")),
  ]),
);
const share = values["per-parser"] ? ["--each"] : [];
const node = (script: string, ...args: readonly string[]) => [process.execPath, join(ROOT, script), ...args];
const runs = [
  ...inC,
  node("packages/ttrpc-ts/fuzz/fuzz.ts", "--seconds", String(seconds), "--seed", String(seed)),
  node("packages/manager/fuzz/layers.ts", String(seed), "Infinity", String(seconds)),
  ...globSync("packages/*/fuzz/parsers.ts", { cwd: ROOT })
    .sort()
    .map((path) =>
      node("tools/fuzz/run.ts", "--package", path, "--seconds", String(seconds), "--seed", String(seed), ...share),
    ),
];

const found = new AbortController();

async function run(argv: readonly string[]): Promise<void> {
  const [file = "", ...args] = argv;
  const child = spawn(file, args, { stdio: ["ignore", "inherit", "inherit"], cwd: ROOT, signal: found.signal });
  child.on("error", () => undefined); // another one has found something
  const [code] = await once(child, "exit");
  if (found.signal.aborted) return;
  const name = argv.slice(0, 8).join(" ");
  console.log(code === 0 ? `clean: ${name}` : `FOUND (exit status ${code}): ${name}`);
  if (code !== 0) found.abort();
}

async function take(): Promise<void> {
  for (let argv = runs.shift(); argv !== undefined && !found.signal.aborted; argv = runs.shift()) await run(argv);
}

for (const name of Object.keys(IN_C)) {
  const make = spawn("make", ["-s", "-C", join(ROOT, "packages", name, "c"), "fuzz"], { stdio: "inherit" });
  const [built] = await once(make, "exit");
  if (built !== 0) throw new Error(`${name}: the fuzzers in C cannot be built`);
}
await Promise.all(Array.from({ length: AT_A_TIME }, take));
process.exitCode = found.signal.aborted ? 1 : 0;
