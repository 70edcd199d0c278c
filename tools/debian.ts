import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "./debian/command.ts";
import { CONTAINERD2_PREFIX, unpackContainerd2 } from "./debian/containerd2.ts";
import { RECENT_CRIU, unpackCriu } from "./debian/criu.ts";
import { GUEST_KERNEL_PREFIX, type GuestKernel, readGuestKernel } from "./debian/guest-kernel.ts";
import { withMachineLock } from "./debian/lock.ts";
import { RECENT_RUNSC, unpackRunsc } from "./debian/runsc.ts";
import { APPARMOR_PARSER, SECILC, unpackAppArmor, unpackSecilc } from "./debian/security-modules.ts";

/** Debian packages that the build and the demo use. */
export const BUILD_PACKAGES = [
  "busybox-static",
  "erofs-utils",
  "gcc",
  "libc6-dev",
  "libseccomp2",
  "make",
  "musl-tools",
  "qemu-system-x86",
  "qemu-system-common", // virtiofsd
  "runsc",
] as const;

/** The same, and what the conformance tests and the end-to-end tests use: peers, and a script(1) for terminals. */
export const TEST_PACKAGES = [
  ...BUILD_PACKAGES,
  "bsdutils",
  "ca-certificates",
  "chromium-headless-shell", // looks at trimaran ui; 77 MB, without the desktop's libraries
  "containerd",
  "containernetworking-plugins",
  "dbus",
  "docker-registry",
  "golang-go",
  "iproute2",
  "iptables",
  "libcap2-bin",
  "mandoc",
  "podman",
  "runc",
  "systemd", // PID 1 of a guest, with dbus
  "util-linux",
] as const;

/** What a virtual machine needs, besides its kernel. `qemu-system-common` brings virtiofsd, `qemu-system-data` the firmware. */
export const VM_PACKAGES = [
  "busybox-static",
  process.arch === "arm64" ? "qemu-system-arm" : "qemu-system-x86",
  "qemu-system-common",
  "qemu-system-data",
] as const;

const STATUS_FILE = "/var/lib/dpkg/status";

/** Names of `names` that dpkg does not have as installed. Reads one file (about 5 ms), starts no process. */
export function missingPackages(names: readonly string[], status = readFileSync(STATUS_FILE, "latin1")): string[] {
  return names.filter((name) => {
    const at = status.startsWith(`Package: ${name}\n`) ? 0 : status.indexOf(`\n\nPackage: ${name}\n`);
    if (at < 0) return true;
    const end = status.indexOf("\n\n", at + 2);
    return !status.slice(at, end < 0 ? undefined : end).includes("\nStatus: install ok installed\n");
  });
}

/**
 * Install the Debian packages of `names` that are missing. A process at a time does so, others wait for it.
 * Services are not started, and a policy-rc.d of the machine counts. Throws apt's own words.
 */
export async function ensurePackages(names: readonly string[] = TEST_PACKAGES): Promise<void> {
  if (missingPackages(names).length === 0) return;
  await withMachineLock("apt", async () => {
    const missing = missingPackages(names);
    if (missing.length === 0) return;
    // RUNLEVEL=1 keeps invoke-rc.d from starting services where no policy-rc.d does; there is no systemd to ask here.
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
    const install = ["apt-get", "install", "-y", "--no-install-recommends", ...missing];
    await command(["apt-get", "update", "-q"], { env });
    await command(install, { env });
    const left = missingPackages(names);
    if (left.length > 0) throw new Error(`apt-get install left out: ${left.join(" ")}`);
  });
}

/**
 * containerd 2.x next to Debian's own: a prefix with bin/containerd, bin/ctr, bin/containerd-shim-runc-v2 and bin/runc.
 * Unpacked from the newest Debian suite that has it; nothing outside the prefix changes. One `access` when it is there.
 */
export async function ensureContainerd2(): Promise<string> {
  const complete = join(CONTAINERD2_PREFIX, "VERSION"); // the prefix appears by one rename: there is no half of it
  if (existsSync(complete)) return CONTAINERD2_PREFIX;
  await ensurePackages(["patchelf", "debian-archive-keyring"]);
  await withMachineLock("containerd2", async () => {
    if (!existsSync(complete)) await unpackContainerd2();
  });
  return CONTAINERD2_PREFIX;
}

/** runsc of Debian's backports next to Debian's own; the path of the program. One `access` when it is there. */
export async function ensureRecentRunsc(): Promise<string> {
  return await ensureUnpacked(RECENT_RUNSC, "runsc", unpackRunsc);
}

/** Debian's apparmor_parser, not installed; the path of the program. One `access` when it is there. */
export async function ensureAppArmorParser(): Promise<string> {
  return await ensureUnpacked(APPARMOR_PARSER, "apparmor", unpackAppArmor);
}

/** Debian's compiler of SELinux policies, not installed; the path of the program. One `access` when it is there. */
export async function ensureSecilc(): Promise<string> {
  await ensurePackages(["libsepol2"]);
  return await ensureUnpacked(SECILC, "secilc", unpackSecilc);
}

async function ensureUnpacked(program: string, lock: string, unpack: () => Promise<void>): Promise<string> {
  if (existsSync(program)) return program;
  await ensurePackages(["debian-archive-keyring"]);
  await withMachineLock(lock, async () => {
    if (!existsSync(program)) await unpack();
  });
  return program;
}

/** criu of the next Debian release next to Debian 12's; the path of the program. One `access` when it is there. */
export async function ensureRecentCriu(): Promise<string> {
  if (existsSync(RECENT_CRIU)) return RECENT_CRIU;
  await ensurePackages(["patchelf", "debian-archive-keyring"]);
  await withMachineLock("criu", async () => {
    if (!existsSync(RECENT_CRIU)) await unpackCriu();
  });
  return RECENT_CRIU;
}

/** QEMU, and a kernel for guests: Debian's cloud kernel, unpacked and not installed. Two file reads when it is there. */
export async function ensureGuestKernel(): Promise<GuestKernel> {
  await ensurePackages(VM_PACKAGES);
  const complete = join(GUEST_KERNEL_PREFIX, "RELEASE");
  if (!existsSync(complete)) {
    await withMachineLock("guest-kernel", async () => {
      if (existsSync(complete)) return;
      const { unpackGuestKernel } = await import("./debian/unpack-guest-kernel.ts"); // loads shim-kata, which nobody else here needs
      await unpackGuestKernel();
    });
  }
  return readGuestKernel();
}

if (import.meta.main) {
  await ensurePackages();
  console.log((await ensureGuestKernel()).vmlinuz);
  console.log(await ensureRecentRunsc());
  console.log(await ensureContainerd2());
  console.log(await ensureRecentCriu());
  console.log(await ensureAppArmorParser());
}
