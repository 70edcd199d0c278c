import { importFile, parsePlatformText } from "@trimaran/manager/images";
import type { ManagerFlags } from "../../cli-context.ts";
import { beginTransfer } from "../../progress/transfer-under-way.ts";
import { command } from "../../report-error.ts";

export interface ImportFlags extends ManagerFlags {
  readonly platform?: readonly string[];
  readonly quiet: boolean;
}

/** `trimaran import`. Prints the images' names; `-` is stdin. */
export const importCommand = command<ImportFlags, [string]>("import", async (context, flags, [file]) => {
  await using client = await context.openClient(flags, "write");
  using transfer = beginTransfer(context, flags.quiet);
  const platforms = (flags.platform ?? []).map(parsePlatformText);
  const path = file === "-" ? undefined : file;
  const images = await importFile(client, path, context.stdin, { platforms }, transfer);
  for (const { name } of images) context.process.stdout.write(`${name}\n`);
  return 0;
});
