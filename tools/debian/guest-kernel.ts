import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { command } from "./command.ts";

/** Where the guest kernel is unpacked: `vmlinuz`, `lib/modules/RELEASE` with its modules.dep, and `RELEASE`, written last. */
export const GUEST_KERNEL_PREFIX = "/var/cache/trimaran/guest-kernel";

const META_PACKAGE = process.arch === "arm64" ? "linux-image-cloud-arm64" : "linux-image-cloud-amd64";

/**
 * Download and unpack Debian's cloud kernel; it is never installed. The prefix appears whole or not at all.
 * busybox makes modules.dep, which a package's installation would have made: kmod need not be here.
 */
export async function unpackGuestKernel(): Promise<void> {
  await mkdir(dirname(GUEST_KERNEL_PREFIX), { recursive: true });
  const work = await mkdtemp(`${GUEST_KERNEL_PREFIX}.new-`);
  try {
    const name = await imagePackage();
    await command(["apt-get", "-o", "APT::Sandbox::User=root", "download", name], { cwd: work });
    const [file] = (await readdir(work)).filter((each) => each.endsWith(".deb"));
    if (file === undefined) throw new Error(`apt-get download ${name}: brought no file`);
    await command(["dpkg", "-x", join(work, file), join(work, "tree")]);
    const release = name.replace(/^linux-image-/, "");
    const made = join(work, "prefix");
    await mkdir(join(made, "lib/modules"), { recursive: true });
    await rename(join(work, `tree/boot/vmlinuz-${release}`), join(made, "vmlinuz"));
    await rename(join(work, "tree/lib/modules", release), join(made, "lib/modules", release));
    await command(["busybox", "depmod", "-b", made, release]);
    await writeFile(join(made, "RELEASE"), `${release}\n`);
    await rm(GUEST_KERNEL_PREFIX, { recursive: true, force: true });
    await rename(made, GUEST_KERNEL_PREFIX);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The package that the meta package stands for today, by the lists that are here, or by fresh ones if there are none. */
async function imagePackage(): Promise<string> {
  for (const again of [false, true]) {
    if (again) await command(["apt-get", "update", "-q"]);
    const depends = await command(["apt-cache", "depends", META_PACKAGE], { mayFail: !again });
    const name = /^\s*Depends: (linux-image-\S+)$/m.exec(depends)?.[1];
    if (name !== undefined) return name;
  }
  throw new Error(`apt-cache depends ${META_PACKAGE}: names no kernel`);
}
