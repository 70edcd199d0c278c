import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { installedSources } from "../image/installed-sources.ts";
import { runCommand } from "./run-command.ts";

const FAILED = 125;
const here = dirname(fileURLToPath(import.meta.url));
// The bundle lies in PREFIX/lib/trimaran; the source in packages/shim-kata/src/command of a checkout.
const library = import.meta.url.endsWith(".ts") ? join(here, "../../../../build/lib/trimaran") : here;
const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stop.abort(new Error(`ended by ${name}`)));

try {
  const write = (text: string) => void process.stdout.write(text);
  await runCommand(process.argv.slice(2), {
    sources: installedSources(library, process.execPath),
    searchPath: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
    stateDirectory: process.env.TRIMARAN_STATE ?? "/run/trimaran",
    write,
    terminal: { input: process.stdin, output: process.stdout },
    signal: stop.signal,
  });
} catch (error) {
  process.stderr.write(`trimaran: kata: ${error instanceof Error ? error.message : error}\n`);
  process.exitCode = FAILED;
}
