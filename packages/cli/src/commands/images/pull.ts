import { pull } from "@trimaran/manager/images";
import { beginTransfer } from "../../progress/transfer-under-way.ts";
import { command } from "../../report-error.ts";
import { type RegistryFlags, registryAccess } from "./registry-access.ts";

/** `trimaran pull`. Prints the image's whole name. */
export const pullCommand = command<RegistryFlags, [string]>("pull", async (context, flags, [name]) => {
  await using client = await context.openClient(flags, "write");
  using transfer = beginTransfer(context, flags.quiet);
  const image = await pull(client, name, registryAccess(context, flags), transfer);
  context.process.stdout.write(`${image.name}\n`);
  return 0;
});
