import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ensureKernel } from "@trimaran/shim-kata";
import { command } from "./command.ts";
import { GUEST_KERNEL_PREFIX } from "./guest-kernel.ts";

const DOWNLOAD_LIMIT_MS = 300_000;

/**
 * Debian's cloud kernel, that of Kata's guests: one download, and hard links. The prefix appears whole or not at all.
 * busybox makes modules.dep, which a package's installation would have made: kmod need not be here.
 */
export async function unpackGuestKernel(): Promise<void> {
  const kernel = await ensureKernel({ download: "missing", signal: AbortSignal.timeout(DOWNLOAD_LIMIT_MS) });
  await mkdir(dirname(GUEST_KERNEL_PREFIX), { recursive: true });
  const made = await mkdtemp(`${GUEST_KERNEL_PREFIX}.new-`);
  try {
    await mkdir(join(made, "lib/modules"), { recursive: true });
    await command(["cp", "-l", kernel.image, join(made, "vmlinuz")]);
    await command(["cp", "-al", kernel.modules, join(made, "lib/modules", kernel.release)]);
    await command(["busybox", "depmod", "-b", made, kernel.release]);
    await writeFile(join(made, "RELEASE"), `${kernel.release}\n`);
    await rm(GUEST_KERNEL_PREFIX, { recursive: true, force: true });
    await rename(made, GUEST_KERNEL_PREFIX);
  } finally {
    await rm(made, { recursive: true, force: true });
  }
}
