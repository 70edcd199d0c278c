import { readFileSync } from "node:fs";
import { doctor } from "./doctor.ts";
import { explain } from "./explain.ts";

/** The half of `trimaran explain` and `trimaran doctor` that knows this runtime. The command starts it. */
const FAILED = 125;
const [verb] = process.argv.slice(2);
const { PATH = "/usr/sbin:/usr/bin:/sbin:/bin", TRIMARAN_STATE = "/run/trimaran" } = process.env;

try {
  if (verb === "explain") process.stdout.write(explain(readFileSync(0, "utf8"), `${TRIMARAN_STATE}/cache`));
  else if (verb === "doctor") process.stdout.write(JSON.stringify(doctor(PATH, process.getuid?.() ?? -1)));
  else throw new RangeError(`${JSON.stringify(verb ?? "")}: neither explain nor doctor`);
} catch (error) {
  process.stderr.write(`trimaran: ${verb}: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = FAILED;
}
