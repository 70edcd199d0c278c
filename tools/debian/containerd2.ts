import { chmod, mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Apt, openApt } from "./apt.ts";
import { command } from "./command.ts";

/** Where containerd 2.x is unpacked. */
export const CONTAINERD2_PREFIX = "/var/cache/trimaran/containerd-2.x";

/** Suites that may have a containerd 2.x; apt picks the highest version. One that has gone does not matter. */
const SUITES = ["bookworm-backports", "trixie-backports", "forky", "sid"];
const BINARIES = ["containerd", "ctr", "containerd-shim-runc-v2"];

/** Download and unpack containerd 2.x, its runc, and the libc that this runc needs. The prefix appears whole or not at all. */
export async function unpackContainerd2(): Promise<void> {
  await mkdir(dirname(CONTAINERD2_PREFIX), { recursive: true });
  const work = await mkdtemp(`${CONTAINERD2_PREFIX}.new-`);
  try {
    const apt = await openApt(join(work, "apt"), SUITES);
    let version = await newestContainerd(apt);
    if (!version.startsWith("2.")) {
      // A suite signed with keys that this machine does not have yet: Debian publishes them in its stable updates first.
      await command(["apt-get", "install", "-y", "--only-upgrade", "debian-archive-keyring"]);
      version = await newestContainerd(apt);
    }
    if (!version.startsWith("2.")) throw new Error(`no containerd 2.x in ${SUITES.join(", ")}: found "${version}"`);
    await command([...apt.get, "download", `containerd=${version}`, "runc", "libc6", "libseccomp2"], { cwd: work });
    const tree = join(work, "tree");
    for (const file of (await readdir(work)).filter((name) => name.endsWith(".deb"))) {
      await command(["dpkg", "-x", join(work, file), tree]);
    }
    await publish(tree, version);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function newestContainerd(apt: Apt): Promise<string> {
  await command([...apt.get, "update", "-q"], { mayFail: true }); // a missing suite fails the whole update
  const versions = await command([...apt.cache, "madison", "containerd"]);
  return /^\s*containerd \| *(\S+) \|/m.exec(versions)?.[1] ?? ""; // highest first
}

/**
 * Bring what we need into shape beside the prefix, then rename.
 * containerd, ctr and the shim need glibc 2.34 only and run as they are. runc needs 2.38, and re-executes /proc/self/exe: started
 * by a wrapper through ld.so it would re-execute ld.so. So its interpreter and library path are rewritten instead.
 */
async function publish(tree: string, version: string): Promise<void> {
  const made = join(dirname(tree), "prefix");
  await mkdir(join(made, "bin"), { recursive: true });
  await mkdir(join(made, "lib"));
  for (const name of BINARIES) await rename(join(tree, "usr/bin", name), join(made, "bin", name));
  await rename(join(tree, "usr/sbin/runc"), join(made, "bin/runc"));
  const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  const loader = process.arch === "arm64" ? "ld-linux-aarch64.so.1" : "ld-linux-x86-64.so.2";
  const from = join(tree, "usr/lib", triplet);
  for (const name of (await readdir(from)).filter((file) => /^(libc|libseccomp)\.so\.|^ld-linux/.test(file))) {
    await rename(join(from, name), join(made, "lib", name));
  }
  const lib = join(CONTAINERD2_PREFIX, "lib"); // where it will be
  const runc = join(made, "bin/runc");
  await command(["patchelf", "--set-interpreter", join(lib, loader), "--set-rpath", lib, runc]);
  await chmod(runc, 0o755);
  await writeFile(join(made, "VERSION"), `${version}\n`);
  await rm(CONTAINERD2_PREFIX, { recursive: true, force: true });
  await rename(made, CONTAINERD2_PREFIX);
}
