/**
 * Mutates valid conversations and gives them to the targets. The same seed runs the same inputs. An input that breaks
 * something is written to corpus/, which each run begins with. Usage: node fuzz/fuzz.ts [--seconds 10] [--seed 1]
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { mutate, Random } from "./random.ts";
import { seeds } from "./seeds.ts";
import { targets } from "./targets.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "10" },
    seed: { type: "string", default: "1" },
  },
});
const corpus = join(import.meta.dirname, "corpus");
mkdirSync(corpus, { recursive: true });
const files = readdirSync(corpus).map((name) => readFileSync(join(corpus, name)));
const pool: Buffer[] = [...seeds, ...files];
const random = new Random(Number(values.seed));
const endMs = performance.now() + Number(values.seconds) * 1000;
const hangMs = 10_000;
const fixed = pool.length;
const KEPT_INPUTS = fixed + 300;

/** Fails if a target hangs; the process is alive meanwhile. */
async function withinBound(run: void | Promise<void>): Promise<void> {
  if (run === undefined) return;
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`no end within ${hangMs} ms`)), hangMs);
  await Promise.race([run, promise]).finally(() => clearTimeout(timer));
}

/** What is running, for errors that come from a microtask. */
const running: { name: string; input: Buffer } = { name: "", input: Buffer.alloc(0) };

function fail(error: unknown): never {
  const { name, input } = running;
  const file = join(corpus, `${name}-${createHash("sha256").update(input).digest("hex").slice(0, 12)}`);
  writeFileSync(file, input);
  console.error(`fuzz: ${name}, seed ${values.seed}: wrote ${file}`);
  console.error(error);
  process.exit(1);
}

async function runAll(input: Buffer): Promise<void> {
  running.input = input;
  for (const [name, target] of Object.entries(targets)) {
    running.name = name;
    await withinBound(target(input, random));
  }
}

process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);
for (const input of pool) await runAll(input);
let inputs = pool.length;
const pick = () => pool[random.below(pool.length)] ?? Buffer.alloc(0);
for (; performance.now() < endMs; inputs++) {
  const input = mutate(random, pick(), pick());
  await runAll(input);
  if (random.below(50) !== 0) continue;
  if (pool.length < KEPT_INPUTS)
    pool.push(input); // mutations of mutations
  else pool[fixed + random.below(pool.length - fixed)] = input;
}
console.log(`fuzz: ${inputs} inputs, ${Object.keys(targets).length} targets, seed ${values.seed}: nothing found`);
process.exit(0);
