import { push } from "@trimaran/manager/images";
import { beginTransfer } from "../../progress/transfer-under-way.ts";
import { command } from "../../report-error.ts";
import { type RegistryFlags, registryAccess } from "./registry-access.ts";

/** `trimaran push`. Prints the digest that the registry has. */
export const pushCommand = command<RegistryFlags, string[]>("push", async (context, flags, [name = "", target]) => {
  await using client = await context.openClient(flags, "write");
  using transfer = beginTransfer(context, flags.quiet);
  const { digest } = await push(client, name, target, registryAccess(context, flags), transfer);
  context.process.stdout.write(`${digest}\n`);
  return 0;
});
