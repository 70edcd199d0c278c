/**
 * `npm test`: everything, from a fresh clone. Sets up what is missing (Debian packages, containerd 2.x), builds, then runs lint, types, unit tests
 * (cached by nx), and the end-to-end tests against real programs. `npm test -- --only=unit` runs one part.
 */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { build } from "./build.ts";
import { ensureContainerd2, ensurePackages, TEST_PACKAGES } from "./debian.ts";

const ROOT = join(import.meta.dirname, "..");
const only = process.argv.find((word) => word.startsWith("--only="))?.slice("--only=".length);

/** One part of the suite; `run` gives the exit code. */
interface Part {
  readonly name: string;
  readonly command: readonly string[];
}

const PARTS: readonly Part[] = [
  { name: "lint", command: ["biome", "check", "."] },
  { name: "boundaries", command: ["node", "tools/lint-boundaries.ts"] },
  { name: "generated", command: ["node", "packages/proto/generate.ts", "--check"] },
  { name: "typecheck", command: ["nx", "run-many", "-t", "typecheck", "--outputStyle=static"] },
  { name: "unit", command: ["nx", "run-many", "-t", "test", "--outputStyle=static", "--parallel=1"] },
  { name: "conformance", command: ["nx", "run-many", "-t", "conformance", "--outputStyle=static", "--parallel=1"] },
  { name: "e2e", command: ["node", "e2e/run.ts"] },
];

await ensurePackages(TEST_PACKAGES);
await ensureContainerd2();
await build();
const failed: string[] = [];
for (const part of PARTS) {
  if (only !== undefined && part.name !== only) continue;
  const startedAt = performance.now();
  console.log(`\n=== ${part.name}`);
  const [program = "", ...args] = part.command;
  const { status } = spawnSync(program, args, { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"], env: process.env });
  console.log(
    `=== ${part.name}: ${status === 0 ? "passed" : "FAILED"} in ${((performance.now() - startedAt) / 1000).toFixed(1)} s`,
  );
  if (status !== 0) failed.push(part.name);
}
console.log(failed.length === 0 ? "\nall parts passed" : `\nfailed: ${failed.join(", ")}`);
process.exitCode = failed.length === 0 ? 0 : 1;
