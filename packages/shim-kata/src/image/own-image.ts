import { createHash } from "node:crypto";
import { Code, StatusError } from "ttrpc-ts";
import type { GuestImage } from "./ensure.ts";
import { fileIdentity } from "./file-identity.ts";

/**
 * An image of the operator's own files. Its key is made of their identities: a file that is replaced makes another image. Throws
 * FailedPrecondition naming the setting whose file is missing.
 */
export function openOwnImage(files: {
  readonly kernel: string;
  readonly initrd: string;
  readonly disk: string;
}): GuestImage {
  const { kernel, initrd, disk } = files;
  const identities = Object.entries({ kernel, initrd, image: disk }).map(([setting, path]) => {
    const identity = fileIdentity(path);
    if (identity !== undefined) return identity;
    throw new StatusError(
      Code.FailedPrecondition,
      `hypervisor.qemu.${setting} ${JSON.stringify(path)}: there is no such file`,
    );
  });
  const key = createHash("sha256").update(identities.join("\n")).digest("hex").slice(0, 16);
  return { key, directory: undefined, kernel, initrd, disk };
}
