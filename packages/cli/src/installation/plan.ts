import { existsSync } from "node:fs";
import { readdir, readFile, realpath } from "node:fs/promises";
import { basename, isAbsolute, join, relative } from "node:path";
import { Code, errnoOf, ManagerError } from "@trimaran/manager";
import { launcherText, ociLauncherText } from "./launcher.ts";

/** One file to install: a copy, or a text that is written anew for its place. Paths are relative to the prefix. */
export type PlannedFile =
  | { readonly kind: "copy"; readonly path: string; readonly from: string; readonly mode: number }
  | { readonly kind: "text"; readonly path: string; readonly text: string; readonly mode: number };

export const LIBRARY = "lib/trimaran";
export const MANUAL = "share/man/man1";
export const MANIFEST = `${LIBRARY}/manifest.json`;

/**
 * What `install` would write below `prefix`: the shims and the command in bin/, the rest in lib/trimaran/. `build` has the build's layout;
 * `node` is the Node binary to take along. Throws FailedPrecondition if there is no build.
 */
export async function planInstallation(build: string, prefix: string, node: string): Promise<PlannedFile[]> {
  const library = join(build, LIBRARY);
  const nodePath = `${LIBRARY}/node`;
  const files: PlannedFile[] = [{ kind: "copy", path: nodePath, from: await realpath(node), mode: 0o755 }];
  for (const path of await filesBelow(library)) {
    const from = join(library, path);
    const target = join(LIBRARY, path);
    if (target === MANIFEST || target === nodePath) continue;
    if (path.endsWith(".cmd")) {
      const text = relocateCommand(await readFile(from, "utf8"), join(prefix, LIBRARY), join(prefix, nodePath));
      files.push({ kind: "text", path: target, text, mode: 0o644 });
    } else files.push({ kind: "copy", path: target, from, mode: path.endsWith(".node") ? 0o755 : 0o644 });
  }
  files.push(...(await packagedModules(build)), ...(await manualFiles(build)));
  const shims = (await namesIn(join(build, "bin"))).filter((name) => name.startsWith("containerd-shim-"));
  for (const name of shims)
    files.push({ kind: "copy", path: join("bin", name), from: join(build, "bin", name), mode: 0o755 });
  files.push({
    kind: "text",
    path: "bin/trimaran",
    text: launcherText(join(prefix, nodePath), join(prefix, LIBRARY, "trimaran.js"), join(prefix, "bin/trimaran-oci")),
    mode: 0o755,
  });
  files.push({
    kind: "text",
    path: "bin/trimaran-oci",
    text: ociLauncherText(join(prefix, nodePath), join(prefix, LIBRARY, "oci.cjs")),
    mode: 0o755,
  });
  return files;
}

/**
 * A task server's command, one argument per line: the first is the node binary, and paths, which are of programs in the library,
 * move to the new one. The monitor finds the file as dirname(dirname(exe))/lib/trimaran/NAME.cmd.
 */
export function relocateCommand(text: string, library: string, node: string): string {
  const [, ...rest] = text.trimEnd().split("\n");
  const moved = rest.map((argument) => (isAbsolute(argument) ? join(library, basename(argument)) : argument));
  return `${[node, ...moved].join("\n")}\n`;
}

async function manualFiles(build: string): Promise<PlannedFile[]> {
  const folder = join(build, MANUAL);
  const names = existsSync(folder) ? await namesIn(folder) : [];
  return names.map((name) => ({ kind: "copy", path: join(MANUAL, name), from: join(folder, name), mode: 0o644 }));
}

/** Native modules lie beside the programs that load them, here and in guests. npm's package has them once, at its root. */
async function packagedModules(build: string): Promise<PlannedFile[]> {
  const modules = join(build, "node_modules");
  if (!existsSync(modules)) return [];
  const paths = await filesBelow(modules);
  return [LIBRARY, `${LIBRARY}/guest`].flatMap((folder) =>
    paths.map((path): PlannedFile => {
      const mode = path.endsWith(".node") ? 0o755 : 0o644;
      return { kind: "copy", path: join(folder, "node_modules", path), from: join(modules, path), mode };
    }),
  );
}

async function filesBelow(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true, recursive: true });
    const files = entries.filter((entry) => entry.isFile() && !basename(entry.name).startsWith("."));
    return files.map((entry) => relative(directory, join(entry.parentPath, entry.name))).sort();
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    throw new ManagerError(Code.FailedPrecondition, `${directory}: there is no build`, {
      hint: "npm run build",
      cause: error,
    });
  }
}

async function namesIn(directory: string): Promise<string[]> {
  return (await readdir(directory)).filter((name) => !name.endsWith(".new")).sort();
}
