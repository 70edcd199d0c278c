import assert from "node:assert/strict";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

/** Where tools/debian.ts unpacks it. */
const CRIU = "/var/cache/trimaran/criu-trixie/bin/criu";
/** With a criu that knows this kernel. */
export const CRIU_PATH = `${dirname(CRIU)}:/usr/sbin:/usr/bin:/sbin:/bin`;

/** A new folder, in which `bundle/rootfs` has these commands of busybox's, and /tmp. To be removed by the caller. */
export function makeCriuBundle(commands: readonly string[]): string {
  assert.ok(existsSync(CRIU), `${CRIU}: missing; node tools/debian.ts`);
  const folder = mkdtempSync(join(tmpdir(), "oci-criu-"));
  const bin = join(folder, "bundle/rootfs/bin");
  mkdirSync(bin, { recursive: true });
  mkdirSync(join(folder, "bundle/rootfs/tmp"));
  copyFileSync("/bin/busybox", join(bin, "busybox"));
  for (const name of commands) symlinkSync("busybox", join(bin, name));
  return folder;
}
