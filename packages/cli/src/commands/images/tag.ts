import { tagImage } from "@trimaran/manager/images";
import type { ManagerFlags } from "../../cli-context.ts";
import { command } from "../../report-error.ts";

/** `trimaran images tag`. Prints the new whole name. */
export const tagCommand = command<ManagerFlags, [string, string]>(
  "images tag",
  async (context, flags, [name, target]) => {
    await using client = await context.openClient(flags, "write");
    context.process.stdout.write(`${await tagImage(client, name, target)}\n`);
    return 0;
  },
);
