import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { Code, ManagerError } from "@trimaran/manager";
import { exportImages, parsePlatformText } from "@trimaran/manager/images";
import type { ManagerFlags } from "../../cli-context.ts";
import { command } from "../../report-error.ts";

export interface ExportFlags extends ManagerFlags {
  readonly platform?: readonly string[];
}

/** `trimaran export`. The file appears whole or not at all; `-` is stdout. */
export const exportCommand = command<ExportFlags, string[]>("export", async (context, flags, [file = "", ...names]) => {
  const { stdout } = context.process;
  if (file === "-" && "isTTY" in stdout && stdout.isTTY === true) {
    throw new ManagerError(Code.InvalidArgument, "an archive is not for a terminal", {
      hint: `trimaran export image.tar ${names.join(" ")}`,
    });
  }
  await using client = await context.openClient(flags, "read");
  const archive = exportImages(client, names, { platforms: (flags.platform ?? []).map(parsePlatformText) });
  if (file === "-") await pipeline(archive, stdout, { end: false });
  else await writeArchive(archive, file);
  return 0;
});

async function writeArchive(archive: AsyncIterable<Uint8Array>, file: string): Promise<void> {
  const temporary = `${file}.${process.pid}.part`;
  try {
    await pipeline(archive, createWriteStream(temporary, { mode: 0o644, flush: true }));
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
