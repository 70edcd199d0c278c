import { readFileSync } from "node:fs";
import { explain } from "./explain.ts";

/** The half of `trimaran explain` and `trimaran doctor` that knows this runtime. The command starts it. */
const FAILED = 125;
const [verb] = process.argv.slice(2);
const cache = `${process.env.TRIMARAN_STATE ?? "/run/trimaran"}/cache`;

try {
  if (verb !== "explain") throw new RangeError(`${JSON.stringify(verb ?? "")}: not explain`);
  process.stdout.write(explain(readFileSync(0, "utf8"), cache));
} catch (error) {
  process.stderr.write(`trimaran: ${verb}: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = FAILED;
}
