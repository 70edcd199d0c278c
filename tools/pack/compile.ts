import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** One package to compile: JavaScript and declarations of what its entries reach. */
export interface Compilation {
  readonly root: string;
  /** `packages/NAME`, relative to the root. */
  readonly directory: string;
  /** Entries, relative to the directory: `./src/index.ts`. */
  readonly entries: readonly string[];
  /** Where `dist/` goes. */
  readonly stage: string;
  /** Packages compiled before: name of an entry ("@trimaran/linux") to its declarations. */
  readonly declarations: ReadonlyMap<string, string>;
}

/** Node strips no types below node_modules, so what is published is JavaScript. Throws tsc's own words. */
export function compile({ root, directory, entries, stage, declarations }: Compilation): void {
  const source = join(root, directory, "src");
  const dist = join(stage, "dist");
  mkdirSync(dist, { recursive: true });
  const config = join(stage, "tsconfig.json");
  const compilerOptions = {
    noEmit: false,
    declaration: true,
    rewriteRelativeImportExtensions: true,
    rootDir: source,
    outDir: dist,
    typeRoots: [join(root, "node_modules/@types")],
    paths: Object.fromEntries([...declarations].map(([name, file]) => [name, [file]])),
  };
  const files = entries.map((entry) => join(root, directory, entry));
  writeFileSync(config, JSON.stringify({ extends: join(root, "tsconfig.base.json"), compilerOptions, files }));
  execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", config], { stdio: ["ignore", "inherit", "inherit"] });
  copyGenerated(join(source, "gen"), join(dist, "gen"));
}

/** Generated code is JavaScript already, which tsc leaves alone; what it imports has another name now. */
function copyGenerated(from: string, into: string): void {
  if (!existsSync(from)) return;
  mkdirSync(into, { recursive: true });
  for (const name of readdirSync(from)) {
    const text = readFileSync(join(from, name), "utf8");
    writeFileSync(join(into, name), text.replaceAll(/(\bfrom ")(\.[^"]+)\.ts"/g, '$1$2.js"'));
  }
}
