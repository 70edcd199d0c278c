import { findContainer } from "@trimaran/manager";
import { commitContainer } from "@trimaran/manager/changes";
import type { ManagerFlags } from "../cli-context.ts";
import { beginTransfer } from "../progress/transfer-under-way.ts";
import { command } from "../report-error.ts";

export interface CommitFlags extends ManagerFlags {
  readonly message: string;
  readonly author: string;
}

/** `trimaran commit`. Prints the new image's whole name. */
export const commit = command<CommitFlags, [string, string]>("commit", async (context, flags, [id, name]) => {
  await using client = await context.openClient(flags, "write");
  const container = await findContainer(client, id);
  using transfer = beginTransfer(context, true);
  const { message, author } = flags;
  const image = await commitContainer(client, container, { name, message, author }, transfer);
  context.process.stdout.write(`${image.name}\n`);
  return 0;
});
