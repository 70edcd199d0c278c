import { dirname } from "node:path";
import { unpackPackage } from "./unpack-package.ts";

/** What loads AppArmor's profiles in a guest: installed, it would bring its profiles and its service to this machine. */
export const APPARMOR_PARSER = "/var/cache/trimaran/apparmor/sbin/apparmor_parser";
/** What compiles a policy for SELinux. */
export const SECILC = "/var/cache/trimaran/secilc/usr/bin/secilc";

const SUITE = "bookworm";

/** Download and unpack Debian 12's apparmor_parser. */
export async function unpackAppArmor(): Promise<void> {
  await unpackPackage("apparmor", SUITE, dirname(dirname(APPARMOR_PARSER)));
}

/** Download and unpack Debian 12's secilc. */
export async function unpackSecilc(): Promise<void> {
  await unpackPackage("secilc", SUITE, dirname(dirname(dirname(SECILC))));
}
