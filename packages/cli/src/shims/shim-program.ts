import { execFile } from "node:child_process";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { CliContext } from "../cli-context.ts";

const OUTPUT_LIMIT_BYTES = 64 << 20;

/** Run the shims' own program, which is beside us: this command knows no shim's insides. Throws what it says. Its answer: JSON lines. */
export async function runShimProgram<Line>(context: CliContext, args: readonly string[]): Promise<Line[]> {
  const program = join(dirname(context.binDirectory), "lib/trimaran/trimaran-shims.js");
  const options = { env: context.environment, maxBuffer: OUTPUT_LIMIT_BYTES };
  try {
    const { stdout } = await promisify(execFile)(context.nodeBinary, [program, ...args], options);
    return stdout
      .split("\n")
      .filter(Boolean)
      .map((line): Line => JSON.parse(line));
  } catch (error) {
    const said = error instanceof Error && "stderr" in error ? String(error.stderr).trim() : "";
    throw said === "" ? error : new RangeError(said);
  }
}
