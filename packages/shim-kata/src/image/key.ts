import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { GUEST_DIRECTORIES, GUEST_LINKS, GUEST_TEXTS, type GuestFile } from "./contents.ts";
import { imageFailure } from "./failure.ts";
import { fileDigest } from "./file-identity.ts";
import type { KernelPackage } from "./kernel-package.ts";
import { IMAGE_FORMAT } from "./manifest.ts";
import { WANTED_MODULES } from "./modules.ts";

/** Programs that an image is made with. Without strip(1) Node is 30 MB larger, and works. */
export const TOOLS = { mkfs: "/usr/bin/mkfs.erofs", strip: "/usr/bin/strip" } as const;

/** How mkfs.erofs makes equal bytes of equal contents: no times, one owner, a fixed UUID, no attributes of the host's files. */
export const MKFS_FLAGS = [
  "-T0",
  "-U",
  "00000000-0000-0000-0000-000000000000",
  "--all-root",
  "-x-1",
  "--quiet",
] as const;

/** What an image is made of, read and digested. */
export interface ImageInputs {
  readonly kernel: KernelPackage;
  readonly init: string;
  readonly files: readonly GuestFile[];
}

/** The digest of everything that decides about the image's bytes: 16 hex digits. */
export async function imageKey({ kernel, init, files }: ImageInputs): Promise<string> {
  if (!existsSync(TOOLS.mkfs)) throw imageFailure(TOOLS.mkfs, "is missing", "apt-get install erofs-utils");
  const copies: unknown[] = [];
  for (const { target, source, mode, strip } of files)
    copies.push([target, mode, strip === true, await fileDigest(source)]);
  const facts = {
    format: IMAGE_FORMAT,
    kernel: [kernel.name, await fileDigest(kernel.image)],
    init: await fileDigest(init),
    mkfs: [await fileDigest(TOOLS.mkfs), MKFS_FLAGS], // it does not tell its version
    strip: existsSync(TOOLS.strip) && (await fileDigest(TOOLS.strip)),
    constant: [WANTED_MODULES, GUEST_DIRECTORIES, GUEST_LINKS, GUEST_TEXTS],
    copies,
  };
  return createHash("sha256").update(JSON.stringify(facts)).digest("hex").slice(0, 16);
}
