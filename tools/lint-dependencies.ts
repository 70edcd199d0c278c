/**
 * Check what we depend on, from the lock file alone: every package comes from npm's registry by a hash, under a licence that we have looked at; those that
 * would run a script when they are installed are known not to need it; each direct dependency has its reason in DEPENDENCIES.md, and no other has.
 */
import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** Another tree than ours: for a test. */
const ROOT = process.argv[2] ?? join(import.meta.dirname, "..");
const REGISTRY = "https://registry.npmjs.org/";
/** Permissive ones: notice and disclaimer, nothing that reaches our own code. */
const LICENCES = new Set([
  "MIT",
  "Apache-2.0",
  "MIT OR Apache-2.0",
  "ISC",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "0BSD",
  "BlueOak-1.0.0",
  "Python-2.0",
]);
/** They have install scripts, and work without: `--ignore-scripts` is how we install. */
const SCRIPTLESS = new Set(["esbuild", "koffi", "nx", "protobufjs"]);

interface Locked {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly license?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(join(ROOT, path), "utf8"));
}

function checkLocked(path: string, { resolved, integrity, license = "none", hasInstallScript }: Locked): string[] {
  const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
  const problems: string[] = [];
  if (integrity?.startsWith("sha512-") !== true) problems.push("no sha512");
  if (resolved !== undefined && !resolved.startsWith(REGISTRY)) problems.push(`comes from ${resolved}`);
  if (!LICENCES.has(license)) problems.push(`licence ${license} has not been looked at`);
  if (hasInstallScript === true && !SCRIPTLESS.has(name)) problems.push("has an install script: does it work without?");
  return problems.map((problem) => `package-lock.json: ${path}: ${problem}`);
}

/** Names of everything that a package.json of ours asks for, and that is not ours. */
function directDependencies(own: ReadonlySet<string>): Set<string> {
  const names = new Set<string>();
  for (const path of ["package.json", ...globSync("packages/*/package.json", { cwd: ROOT })]) {
    const manifest = readJson(path) as Record<string, Record<string, string> | undefined>;
    for (const kind of ["dependencies", "devDependencies", "optionalDependencies", "peerDependencies"]) {
      for (const name of Object.keys(manifest[kind] ?? {})) if (!own.has(name)) names.add(name);
    }
  }
  return names;
}

const { packages } = readJson("package-lock.json") as { packages: Readonly<Record<string, Locked>> };
const locked = Object.entries(packages).filter(([path, { link }]) => path.includes("node_modules/") && link !== true);
const own = new Set(
  globSync("packages/*/package.json", { cwd: ROOT }).map((path) => (readJson(path) as { name: string }).name),
);
const direct = directDependencies(own);
const table = readFileSync(join(ROOT, "DEPENDENCIES.md"), "utf8");
const justified = new Set([...table.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name = ""]) => name));
const problems = [
  ...locked.flatMap(([path, entry]) => checkLocked(path, entry)),
  ...[...direct].filter((name) => !justified.has(name)).map((name) => `DEPENDENCIES.md: ${name} has no row`),
  ...[...justified]
    .filter((name) => !direct.has(name))
    .map((name) => `DEPENDENCIES.md: ${name} is not asked for by any package.json`),
];
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;
