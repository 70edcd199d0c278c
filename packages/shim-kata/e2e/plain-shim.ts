import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import type { ShimKind } from "../../../e2e/harness/shims.ts";

const ROOT = join(import.meta.dirname, "../../..");
const PACKAGES = join(ROOT, "packages");
const NAME = "containerd-shim-kata-plain-v2";

/** Install, into a new folder, a shim whose guests are plain processes (see `PlainGuests`). */
export async function installPlainShim(into: string): Promise<ShimKind> {
  const library = join(into, "lib/trimaran");
  const guest = join(library, "guest");
  mkdirSync(guest, { recursive: true });
  mkdirSync(join(into, "bin"));
  execFileSync("make", ["-s", "-C", `${PACKAGES}/monitor/c`, `OUT=${into}/monitor`, `${into}/monitor/monitor`]);
  for (const path of [join(into, "bin", NAME), join(guest, "monitor")]) cpSync(join(into, "monitor/monitor"), path);
  await bundle(join(import.meta.dirname, "plain-main.ts"), join(library, "shim.cjs"));
  await bundle(join(PACKAGES, "kata-agent/src/main.ts"), join(guest, "agent.cjs"));
  for (const path of ["koffi", `@koromix/koffi-linux-${process.arch}`])
    cpSync(join(ROOT, "node_modules", path), join(library, "node_modules", path), { recursive: true });
  writeFileSync(join(library, `${NAME}.cmd`), `${process.execPath}\n${join(library, "shim.cjs")}\n`);
  const path = "/usr/sbin:/usr/bin:/sbin:/bin";
  return { name: "kata, plain guests", binary: join(into, "bin", NAME), style: "2.3", isControl: false, path };
}

async function bundle(entry: string, outfile: string): Promise<void> {
  await build({
    entryPoints: [entry],
    outfile,
    bundle: true,
    platform: "node",
    target: "node26",
    format: "cjs",
    define: { "import.meta.dirname": "__dirname", "import.meta.url": "__filename" },
    external: ["koffi"],
  });
}
