import { copyFile, mkdir, readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { Code, errnoOf, ManagerError, writeFileAtomic } from "@trimaran/manager";

const BEGIN = "# BEGIN trimaran (written by `trimaran install`, removed by `trimaran uninstall`)";
const END = "# END trimaran";
const BLOCK = /\n?# BEGIN trimaran[^\n]*\n[\s\S]*?# END trimaran\n?/g;

/** containerd's configuration format: 2 for 1.x, 3 for 2.x (which also reads 2). */
export type ConfigVersion = 2 | 3;

const CRI_RUNTIME = { 2: "io.containerd.grpc.v1.cri", 3: "io.containerd.cri.v1.runtime" } as const;

/** A runtime is in there somewhere, in whatever spelling TOML allows. */
const HAS_RUNTIMES = /^[^#\n]*\bruntimes\b/m;

/** The tables that make CRI know our runtimes. Shims are named `containerd-shim-NAME-VERSION`. */
export function runtimeTables(version: ConfigVersion, shims: readonly string[]): string {
  return shims
    .map((shim) => {
      const [, name = "", shimVersion = ""] = /^containerd-shim-(.+)-(v\d+)$/.exec(shim) ?? [];
      return runtimeTable(version, name, `io.containerd.${name}.${shimVersion}`);
    })
    .join("\n");
}

/** The default of containerd 1.x, written out: the first runtime that is configured replaces it, and CRI does not load without it. */
export const RUNC_TABLE = runtimeTable(2, "runc", "io.containerd.runc.v2");

function runtimeTable(version: ConfigVersion, name: string, type: string): string {
  return `[plugins."${CRI_RUNTIME[version]}".containerd.runtimes.${name}]\n  runtime_type = "${type}"\n`;
}

/**
 * A configuration with our block at its end, an earlier one replaced, and everything else byte for byte as it was. An empty one
 * becomes version 2, which containerd 1.x and 2.x read. Throws FailedPrecondition for a version that has no such tables, and if
 * somebody has configured a runtime of that name by hand.
 */
export function withRuntimes(config: string, shims: readonly string[]): string {
  const rest = withoutRuntimes(config);
  const base = rest.trim() === "" ? "version = 2\n" : rest;
  const version = configVersion(base);
  const ours = runtimeTables(version, shims);
  const tables = version === 3 || HAS_RUNTIMES.test(base) ? ours : `${RUNC_TABLE}\n${ours}`;
  for (const line of tables.split("\n")) {
    if (line.startsWith("[") && base.split("\n").some((other) => other.trim() === line)) {
      throw new ManagerError(Code.FailedPrecondition, `${line}: is there already`);
    }
  }
  return `${base.endsWith("\n") ? base : `${base}\n`}\n${BEGIN}\n${tables}${END}\n`;
}

/** A configuration without our block. */
export function withoutRuntimes(config: string): string {
  return config.replace(BLOCK, "");
}

function configVersion(config: string): ConfigVersion {
  const head = config.split(/^\s*\[/m, 1)[0] ?? "";
  const version = Number(/^\s*version\s*=\s*(\d+)/m.exec(head)?.[1] ?? 1);
  if (version === 2 || version === 3) return version;
  throw new ManagerError(Code.FailedPrecondition, `version = ${version}: only 2 and 3 have runtimes by name`);
}

/** Change a configuration file; the first time a copy is kept as FILE.before-trimaran. False if there was nothing to change. */
export async function editConfig(path: string, change: (config: string) => string): Promise<boolean> {
  const before = await readFile(path, "utf8").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  });
  const after = change(before ?? "");
  if (after === (before ?? "")) return false;
  await mkdir(dirname(path), { recursive: true });
  if (before !== undefined) await keepCopy(path, `${path}.before-trimaran`);
  await writeFileAtomic(path, after, 0o644);
  return true;
}

/** Remove our block; the copy goes, too, if the file is again what it was. False if there was no block. */
export async function restoreConfig(path: string): Promise<boolean> {
  const changed = await editConfig(path, withoutRuntimes);
  const copy = `${path}.before-trimaran`;
  const [now, before] = await Promise.all([path, copy].map((file) => readFile(file, "utf8").catch(() => undefined)));
  if (now !== undefined && now === before) await rm(copy, { force: true });
  return changed;
}

async function keepCopy(path: string, copy: string): Promise<void> {
  const { COPYFILE_EXCL } = (await import("node:fs")).constants;
  await copyFile(path, copy, COPYFILE_EXCL).catch((error: unknown) => {
    if (errnoOf(error) !== "EEXIST") throw error;
  });
}
