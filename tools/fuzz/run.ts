/**
 * Fuzz every parser of untrusted bytes that a package lists in `fuzz/parsers.ts`: node tools/fuzz/run.ts [--seconds 20] [--seed 1] [--only NAME] [--package FILE] [--each].
 * They share the time, unless each is to have it. What may come out is a value or one of the errors that the parser promises, soon. A finding is kept in `fuzz/corpus/NAME`, which each run begins with.
 */
import { createHash } from "node:crypto";
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { mutate, randomNumbers } from "./mutate.ts";

/** One parser, as `fuzz/parsers.ts` exports them in `parsers`. */
interface Parser {
  readonly name: string;
  readonly seeds: readonly (string | Uint8Array)[];
  /** Parse; throw what the parser promises to throw, which `expects` knows, or a finding. */
  readonly run: (input: Buffer) => unknown;
  readonly expects: (error: unknown) => boolean;
}

/** An input that takes more of the processor is a finding; so is one that waits for ever, where the machine is not to blame. */
const SLOW_MS = 2000;
const STUCK_MS = 60_000;
const KEPT = 400;
const ROOT = join(import.meta.dirname, "../..");
const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "20" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    each: { type: "boolean", default: false },
    package: { type: "string", default: "packages/*/fuzz/parsers.ts" },
  },
});

const found: { readonly parser: Parser; readonly folder: string }[] = [];
for (const path of globSync(values.package, { cwd: ROOT }).sort()) {
  const { parsers } = (await import(join(ROOT, path))) as { parsers: readonly Parser[] };
  for (const parser of parsers) {
    const folder = join(ROOT, dirname(path), "corpus", parser.name);
    if (parser.name.includes(values.only)) found.push({ parser, folder });
  }
}
if (found.length === 0) throw new Error(`--only=${values.only}: there is no such parser`);
const durationMs = (Number(values.seconds) * 1000) / (values.each ? 1 : found.length);
for (const { parser, folder } of found) await fuzz(parser, folder, durationMs);
process.exit(0); // some have opened servers

async function fuzz(parser: Parser, folder: string, durationMs: number): Promise<void> {
  const files = existsSync(folder) ? readdirSync(folder).map((name) => readFileSync(join(folder, name))) : [];
  const fixed: readonly Buffer[] = [...parser.seeds.map((seed) => Buffer.from(seed as Uint8Array)), ...files];
  const pool: Buffer[] = [...fixed];
  const random = randomNumbers(Number(values.seed));
  const pick = () => pool[random(pool.length)] ?? Buffer.alloc(0);
  let inputs = 0;
  let good = 0;
  const check = async (input: Buffer) => {
    inputs++;
    const isGood = await attempt(parser, folder, input);
    if (isGood) good++;
    return isGood;
  };
  for (const input of fixed) await check(input);
  if (good === 0) throw new Error(`${parser.name}: no seed is accepted`);
  for (const end = performance.now() + durationMs; performance.now() < end; ) {
    const input = mutate(random, pick(), pick());
    const isGood = await check(input);
    if (random(isGood ? 20 : 200) !== 0) continue;
    if (pool.length < fixed.length + KEPT)
      pool.push(input); // mutations of mutations
    else pool[fixed.length + random(KEPT)] = input;
  }
  console.log(`${parser.name}: ${inputs} inputs, ${good} accepted, seed ${values.seed}: nothing found`);
}

/** Whether it was accepted. Ends the process if that did what it must not. */
async function attempt(parser: Parser, folder: string, input: Buffer): Promise<boolean> {
  const copy = Buffer.from(input);
  const began = performance.now();
  const before = process.threadCpuUsage();
  let accepted = true;
  try {
    await parser.run(copy);
  } catch (error) {
    if (!parser.expects(error)) fail(parser, folder, input, error);
    accepted = false;
  }
  const used = process.threadCpuUsage(before);
  const usedMs = (used.user + used.system) / 1000;
  if (usedMs > SLOW_MS) fail(parser, folder, input, new Error(`took ${Math.round(usedMs)} ms of the processor`));
  if (performance.now() - began > STUCK_MS) fail(parser, folder, input, new Error(`took more than ${STUCK_MS} ms`));
  if (Object.keys(Object.prototype).length > 0)
    fail(parser, folder, input, new Error("Object.prototype has been changed"));
  return accepted;
}

function fail(parser: Parser, folder: string, input: Buffer, error: unknown): never {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, createHash("sha256").update(input).digest("hex").slice(0, 12));
  writeFileSync(file, input);
  console.error(`fuzz: ${parser.name}, seed ${values.seed}: wrote ${file}`);
  console.error(error);
  process.exit(1);
}
