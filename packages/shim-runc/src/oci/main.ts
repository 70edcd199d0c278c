import { readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import ownPackage from "../../package.json" with { type: "json" };
import { Kernel } from "../kernel.ts";
import { SeccompFilters } from "../seccomp-filters.ts";
import { toCaller } from "./rootless.ts";
import { runOci } from "./run-oci.ts";

/** As runc has it: a user's own things are below the folder of the session. */
const caller = toCaller(process.geteuid?.() ?? -1, process.getegid?.() ?? -1);
const HOME = caller.kind === "root" ? "/run" : (process.env.XDG_RUNTIME_DIR ?? "/run");
const isSource = import.meta.url.endsWith(".ts");
const MONITOR = isSource ? "../../../../build/monitor/monitor" : "../../bin/containerd-shim-trimaran-runc-v2";

const kernel = new Kernel();
process.umask(0o077);
const running = runOci(process.argv.slice(2), {
  kernel,
  filters: new SeccompFilters(kernel.tools.native),
  monitorProgram: join(import.meta.dirname, MONITOR),
  cwd: currentDirectory(),
  env: process.env,
  version: ownPackage.version,
  defaultRoot: join(HOME, "trimaran-oci"),
  caller,
  print: (text) => write(1, text),
  stderr: (text) => write(2, text),
  readStdin: () => readFileSync(0),
});
void running.then((code) => {
  process.exitCode = code;
});

/** Engines call `delete` from bundles that are gone. */
function currentDirectory(): string {
  try {
    return process.cwd();
  } catch {
    return "/";
  }
}

/** Not by process.stdout: that would make the caller's pipe non-blocking, and the container has it, too. */
function write(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}
