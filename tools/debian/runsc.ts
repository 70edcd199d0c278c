import { dirname } from "node:path";
import { unpackPackage } from "./unpack-package.ts";

/** The newer runsc, beside Debian 12's own. */
export const RECENT_RUNSC = "/var/cache/trimaran/runsc-backports/usr/bin/runsc";

/** Download and unpack the runsc of the backports. It is static, and runs from anywhere. */
export async function unpackRunsc(): Promise<void> {
  await unpackPackage("runsc", "bookworm-backports", dirname(dirname(dirname(RECENT_RUNSC))));
}
