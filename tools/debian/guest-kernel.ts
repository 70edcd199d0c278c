import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Where the guest kernel is unpacked: `vmlinuz`, `lib/modules/RELEASE` with its modules.dep, and `RELEASE`, written last. */
export const GUEST_KERNEL_PREFIX = "/var/cache/trimaran/guest-kernel";

/** A kernel for guests, unpacked in a folder. */
export interface GuestKernel {
  /** The compressed image. */
  readonly vmlinuz: string;
  /** The folder that is /lib/modules/RELEASE in a guest. */
  readonly modules: string;
}

/** The one that is there. Throws ENOENT if there is none. */
export function readGuestKernel(): GuestKernel {
  const release = readFileSync(join(GUEST_KERNEL_PREFIX, "RELEASE"), "utf8").trim();
  return {
    vmlinuz: join(GUEST_KERNEL_PREFIX, "vmlinuz"),
    modules: join(GUEST_KERNEL_PREFIX, "lib/modules", release),
  };
}
