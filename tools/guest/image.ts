import { join } from "node:path";
import { command } from "../debian/command.ts";

/** Build the image of Kata's guests where it is missing or not of what is built now; its folder. Downloads the kernel, once. Needs a build. */
export async function ensureGuestImage(): Promise<string> {
  const trimaran = join(import.meta.dirname, "../../build/bin/trimaran");
  return (await command([trimaran, "kata", "image", "build"])).trim();
}
