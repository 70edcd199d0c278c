import { basename, dirname, join } from "node:path";
import { Code, ManagerError, writeFileAtomic } from "@trimaran/manager";
import type { CliContext } from "../cli-context.ts";
import { editConfig, RUNC_TABLE, runtimeTables, withRuntimes } from "../installation/containerd-config.ts";
import { readManifest } from "../installation/manifest.ts";
import { MANIFEST, type PlannedFile, planInstallation } from "../installation/plan.ts";
import { removeFiles, writePlannedFile } from "../installation/write-files.ts";
import { command } from "../report-error.ts";

export interface InstallFlags {
  readonly prefix: string;
  readonly containerdConfig?: string;
  readonly dryRun: boolean;
}

/** `trimaran install`. */
export const install = command<InstallFlags, []>("install", async (context, flags) => {
  const build = dirname(context.binDirectory);
  if (build === flags.prefix) {
    throw new ManagerError(Code.FailedPrecondition, `--prefix ${flags.prefix}: this is the installation itself`);
  }
  const files = await planInstallation(build, flags.prefix, context.nodeBinary);
  const shims = files.map(({ path }) => basename(path)).filter((name) => /^containerd-shim-.+-v\d+$/.test(name));
  if (flags.dryRun) for (const { path } of files) context.process.stdout.write(`${join(flags.prefix, path)}\n`);
  else await writeAll(context, flags, files, shims);
  printConfiguration(context, flags, shims);
  return 0;
});

async function writeAll(
  context: CliContext,
  flags: InstallFlags,
  files: readonly PlannedFile[],
  shims: readonly string[],
): Promise<void> {
  const { prefix, containerdConfig } = flags;
  const before = await readManifest(prefix);
  const paths = files.map(({ path }) => path);
  const configs = new Set([...(before?.configs ?? []), ...(containerdConfig === undefined ? [] : [containerdConfig])]);
  for (const file of files) await writePlannedFile(prefix, file);
  const manifest = { files: [...paths, MANIFEST], configs: [...configs] };
  await writeFileAtomic(join(prefix, MANIFEST), `${JSON.stringify(manifest, undefined, 2)}\n`, 0o644);
  const obsolete = (before?.files ?? []).filter((path) => !manifest.files.includes(path));
  await removeFiles(prefix, obsolete);
  context.process.stdout.write(`installed ${paths.length} files below ${prefix}\n`);
  if (containerdConfig === undefined) return;
  const changed = await editConfig(containerdConfig, (config) => withRuntimes(config, shims));
  context.process.stdout.write(
    `${containerdConfig}: ${changed ? "runtimes added; restart containerd" : "is up to date"}\n`,
  );
}

function printConfiguration({ process: { stdout } }: CliContext, flags: InstallFlags, shims: readonly string[]): void {
  if (flags.containerdConfig !== undefined && !flags.dryRun) return;
  const hint = "keep runc beside it, or CRI does not load";
  stdout.write(`\ncontainerd 1.x, /etc/containerd/config.toml with version = 2 (${hint}):\n\n`);
  stdout.write(`${RUNC_TABLE}\n${runtimeTables(2, shims)}`);
  stdout.write(`\ncontainerd 2.x, with version = 3:\n\n${runtimeTables(3, shims)}`);
  stdout.write("\nctr needs no configuration: ctr run --runtime io.containerd.trimaran-runc.v2 …\n");
}
