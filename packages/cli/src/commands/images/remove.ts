import { removeImage } from "@trimaran/manager/images";
import type { ManagerFlags } from "../../cli-context.ts";
import { forEachId } from "../../each-container.ts";
import { command } from "../../report-error.ts";

/** `trimaran images rm`. */
export const removeImagesCommand = command<ManagerFlags, string[]>("images rm", async (context, flags, names) => {
  await using client = await context.openClient(flags, "write");
  return await forEachId(context, "images rm", names, (name) => removeImage(client, name));
});
