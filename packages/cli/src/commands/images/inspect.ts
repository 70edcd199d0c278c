import { inspectImage } from "@trimaran/manager/images";
import type { ManagerFlags } from "../../cli-context.ts";
import { plainNumbers } from "../../format/write-list.ts";
import { command } from "../../report-error.ts";

/** `trimaran images inspect`. One JSON document. */
export const inspectImageCommand = command<ManagerFlags, [string]>("images inspect", async (context, flags, [name]) => {
  await using client = await context.openClient(flags, "read");
  context.process.stdout.write(`${JSON.stringify(await inspectImage(client, name), plainNumbers, 2)}\n`);
  return 0;
});
