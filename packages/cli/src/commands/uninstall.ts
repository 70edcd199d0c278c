import { Code, ManagerError } from "@trimaran/manager";
import { restoreConfig } from "../installation/containerd-config.ts";
import { readManifest } from "../installation/manifest.ts";
import { removeFiles } from "../installation/write-files.ts";
import { command } from "../report-error.ts";

export interface UninstallFlags {
  readonly prefix: string;
  readonly dryRun: boolean;
}

/** `trimaran uninstall`. Shims that run go on: their files are open. */
export const uninstall = command<UninstallFlags, []>(
  "uninstall",
  async ({ process: { stdout } }, { prefix, dryRun }) => {
    const manifest = await readManifest(prefix);
    if (manifest === undefined) {
      throw new ManagerError(Code.NotFound, `--prefix ${prefix}: nothing of ours is installed there`);
    }
    const { files, configs } = manifest;
    if (dryRun) {
      for (const path of files) stdout.write(`${prefix}/${path}\n`);
      return 0;
    }
    for (const config of configs) {
      if (await restoreConfig(config)) stdout.write(`${config}: runtimes removed; restart containerd\n`);
    }
    await removeFiles(prefix, files);
    stdout.write(`removed ${files.length} files below ${prefix}\n`);
    return 0;
  },
);
