/**
 * Check the arrows between packages: an import goes by a package's name, the package is a declared dependency, and its nx tag
 * `layer:X` is one that the importer's layer may use. Tests may also import what tests need. Biome finds the cycles between files.
 */
import { globSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

const ROOT = join(import.meta.dirname, "..");

/** layer → layers that it may import. Arrows point down only. */
const ALLOWED: Readonly<Record<string, readonly string[]>> = {
  wire: [],
  "wire-protocol": ["wire"],
  host: [],
  sdk: ["wire", "wire-protocol", "host"],
  guest: ["runtime", "sdk", "host", "wire", "wire-protocol"],
  runtime: ["sdk", "host", "wire", "wire-protocol"],
  manager: ["wire", "wire-protocol"],
  check: ["wire", "wire-protocol"],
  cli: ["manager", "check"],
};

/** Packages of one layer that must not meet: linux knows no monitor, no runtime knows another. */
interface Package {
  readonly name: string;
  readonly directory: string;
  readonly layer: string;
  readonly dependencies: ReadonlySet<string>;
  /** Keys of "exports": `.`, `./daemon`. */
  readonly entries: ReadonlySet<string>;
}

const packages = new Map(
  globSync("packages/*/package.json", { cwd: ROOT }).map((path) => [dirname(path), parsePackage(path)]),
);
const byName = new Map([...packages.values()].map((each) => [each.name, each]));
const problems = globSync("packages/*/{src,bench,fuzz,conformance}/**/*.ts", { cwd: ROOT }).sort().flatMap(check);
for (const problem of problems) console.error(problem);
process.exitCode = problems.length === 0 ? 0 : 1;

function check(path: string): string[] {
  const own = packages.get(path.split("/").slice(0, 2).join("/"));
  if (!own) return [];
  const text = readFileSync(join(ROOT, path), "utf8");
  const isTest = /\.test\.ts$|\/(testing|bench|fuzz|conformance|test)\//.test(path) || path.includes("/testing");
  const imports = text.matchAll(
    /^(?:import|export)\b[^"';]*?\bfrom\s*"([^"]+)"|^import\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm,
  );
  return [...imports].flatMap(([, from, bare, dynamic]) => {
    const specifier = from ?? bare ?? dynamic ?? "";
    const why = forbidden(own, path, specifier, isTest);
    return why === undefined ? [] : [`${path}: import "${specifier}": ${why}`];
  });
}

function forbidden(own: Package, path: string, specifier: string, isTest: boolean): string | undefined {
  if (specifier.startsWith(".")) {
    const target = resolve(ROOT, dirname(path), specifier);
    return target.startsWith(`${join(ROOT, own.directory)}/`)
      ? undefined
      : "a path out of the package; import it by its name";
  }
  if (specifier.startsWith("node:")) return undefined;
  const name = specifier.startsWith("@") ? specifier.split("/").slice(0, 2).join("/") : (specifier.split("/")[0] ?? "");
  const other = byName.get(name);
  if (isTest) return undefined;
  if (name !== own.name && !own.dependencies.has(name)) return `not in the dependencies of ${own.name}`;
  if (!other || other === own) return undefined;
  if (!other.entries.has(`.${specifier.slice(name.length)}`)) return "only a package's entries may be imported";
  if (!(ALLOWED[own.layer] ?? []).includes(other.layer))
    return `layer ${own.layer} may not import layer ${other.layer}`;
  return undefined;
}

function parsePackage(path: string): Package {
  const json = JSON.parse(readFileSync(join(ROOT, path), "utf8")) as {
    name: string;
    dependencies?: Record<string, string>;
    exports?: Record<string, string>;
    nx?: { tags?: string[] };
  };
  const layer = json.nx?.tags?.find((tag) => tag.startsWith("layer:"))?.slice("layer:".length);
  if (layer === undefined || !(layer in ALLOWED)) throw new Error(`${path}: nx.tags has no known layer`);
  return {
    name: json.name,
    directory: dirname(path),
    layer,
    dependencies: new Set(Object.keys(json.dependencies ?? {})),
    entries: new Set(Object.keys(json.exports ?? {})),
  };
}
