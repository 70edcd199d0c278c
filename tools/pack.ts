/**
 * `npm run pack`: every package of the workspace as npm would publish it, into build/npm/*.tgz. Sources are TypeScript, which Node
 * does not run below node_modules, so each package is compiled into a folder of its own, and `npm pack` makes the tarball of that.
 * `npm publish build/npm/NAME.tgz` is all that is left to do.
 */
import { execFileSync } from "node:child_process";
import { cpSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { relocateCommand } from "../packages/cli/src/installation/plan.ts";
import { build } from "./build.ts";
import { compile } from "./pack/compile.ts";
import { compiled, type Manifest, publishedManifest, readManifest } from "./pack/manifest.ts";

const ROOT = join(import.meta.dirname, "..");
const OUT = join(ROOT, "build/npm");
const BUILD = join(ROOT, "build");
/** Where .cmd files of the package point to until `trimaran install` writes them for their place. */
const UNPLACED = "/usr/local/lib/trimaran";

/** Started as threads of their own, by URL: no entry's import reaches them. */
const THREADS: Readonly<Record<string, readonly string[]>> = {
  "packages/manager": ["./src/layers/thread/layer-worker.ts"],
};

/** Programs in C, as source and as built for this machine: static, so any Linux of the architecture runs them. */
const C_PROGRAMS: Readonly<Record<string, string>> = {
  "packages/monitor": "monitor/monitor",
  "packages/fsbridge": "fsbridge/trimaran-fsbridge",
};

/** Make all tarballs. Returns their paths. */
export async function packAll(): Promise<string[]> {
  await build();
  rmSync(OUT, { recursive: true, force: true });
  const root = readManifest(ROOT);
  const declarations = new Map<string, string>();
  const stages = inOrder().map(({ directory, manifest }) => {
    const stage = join(OUT, basename(directory));
    mkdirSync(stage, { recursive: true });
    const more = directory === "packages/cli" ? stageProgram(stage) : stageLibrary(stage, directory);
    if (directory !== "packages/cli") {
      const entries = Object.entries(manifest.exports ?? {});
      const sources = [...entries.map(([, entry]) => entry), ...(THREADS[directory] ?? [])];
      if (sources.length > 0) compile({ root: ROOT, directory, entries: sources, stage, declarations });
      for (const [name, entry] of entries)
        declarations.set(join(manifest.name, name), join(stage, `${compiled(entry)}.d.ts`));
    }
    const published = publishedManifest(manifest, root, directory, more);
    writeFileSync(join(stage, "package.json"), `${JSON.stringify(published, undefined, 2)}\n`);
    for (const file of [join(directory, "README.md"), "LICENSE"]) copyIfThere(join(ROOT, file), stage);
    return stage;
  });
  return pack(stages);
}

/** `npm pack` of folders, in one process: npm takes longer to start than to pack. Returns the tarballs' paths, in the same order. */
export function pack(folders: readonly string[], into = OUT): string[] {
  const words = ["pack", "--json", "--ignore-scripts", "--pack-destination", into, ...folders];
  const answer = execFileSync("npm", words, { cwd: ROOT, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  const made = JSON.parse(answer) as readonly { readonly filename: string }[];
  if (made.length !== folders.length) throw new Error(`npm pack made ${made.length} of ${folders.length} packages`);
  return made.map(({ filename }) => join(into, filename));
}

/** Packages of the workspace, each after those that it depends on. */
function inOrder(): { readonly directory: string; readonly manifest: Manifest }[] {
  const left = globSync("packages/*/package.json", { cwd: ROOT })
    .sort()
    .map((path) => path.replace("/package.json", ""))
    .map((directory) => ({ directory, manifest: readManifest(join(ROOT, directory)) }));
  const names = new Set(left.map(({ manifest }) => manifest.name));
  const ordered: typeof left = [];
  while (left.length > 0) {
    const ready = left.findIndex(
      ({ manifest }) => !Object.keys(manifest.dependencies ?? {}).some((on) => names.has(on)),
    );
    const [next] = left.splice(ready, 1);
    if (ready < 0 || next === undefined) throw new Error("packages depend on each other in a circle");
    names.delete(next.manifest.name);
    ordered.push(next);
  }
  return ordered;
}

/** A library's own folder: what goes along with its code. */
function stageLibrary(stage: string, directory: string): object {
  const files = ["dist"];
  for (const path of globSync(join(directory, "*.md"), { cwd: ROOT })) copyIfThere(join(ROOT, path), stage);
  const program = C_PROGRAMS[directory];
  if (program !== undefined) {
    const prebuilt = join(stage, "prebuilt", `linux-${process.arch}`);
    mkdirSync(prebuilt, { recursive: true });
    cpSync(join(BUILD, program), join(prebuilt, basename(program)));
    for (const path of globSync(join(directory, "c/{*.c,*.h,Makefile}"), { cwd: ROOT }))
      cpSync(join(ROOT, path), join(stage, "c", basename(path)));
    files.push("prebuilt", "c");
  }
  return { files: [...files, "*.md"] };
}

/** The command and the shims, as they are built: bundles need nothing of the workspace. koffi travels along. */
function stageProgram(stage: string): object {
  const own = ["bin", "lib", "share"];
  for (const folder of own)
    cpSync(join(BUILD, folder), join(stage, folder), {
      recursive: true,
      filter: (path) => !path.includes("/node_modules") && !basename(path).startsWith("."),
    });
  for (const path of globSync("lib/trimaran/*.cmd", { cwd: stage })) {
    const text = readFileSync(join(stage, path), "utf8");
    writeFileSync(join(stage, path), relocateCommand(text, UNPLACED, `${UNPLACED}/node`));
  }
  for (const name of ["trimaran", "trimaran-oci"]) cpSync(join(ROOT, "tools/pack", name), join(stage, "bin", name));
  cpSync(join(BUILD, "lib/trimaran/node_modules"), join(stage, "node_modules"), { recursive: true });
  const native = ["koffi", `@koromix/koffi-linux-${process.arch}`];
  const version = (name: string) => readManifest(join(stage, "node_modules", name)).version;
  return {
    bin: { trimaran: "bin/trimaran", "trimaran-oci": "bin/trimaran-oci" },
    man: globSync("share/man/man1/*.1", { cwd: stage }).sort(),
    files: own,
    dependencies: Object.fromEntries(native.map((name) => [name, version(name)])),
    bundleDependencies: native,
    exports: { "./package.json": "./package.json" },
    os: ["linux"],
    cpu: [process.arch],
  };
}

function copyIfThere(from: string, into: string): void {
  try {
    cpSync(from, join(into, basename(from)));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
  }
}

if (import.meta.main) for (const path of await packAll()) console.log(path);
