/**
 * Write src/gen/codec.js and codec.d.ts from proto/ at the root of the repository. `--check` compares instead, and exits
 * with 1 on a difference.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { generate } from "./generator/generate.ts";
import { loadProtos } from "./generator/load.ts";

const here = import.meta.dirname;
const output = generate(loadProtos(join(here, "../../proto")));
const gen = join(here, "src/gen");
if (process.argv.includes("--check")) {
  const stale = Object.entries(output).filter(([name, text]) => readFileSync(join(gen, name), "utf8") !== text);
  for (const [name] of stale) console.error(`generate: src/gen/${name} is stale; run: node packages/proto/generate.ts`);
  process.exitCode = stale.length === 0 ? 0 : 1;
} else {
  mkdirSync(gen, { recursive: true });
  for (const [name, text] of Object.entries(output)) writeFileSync(join(gen, name), text);
}
