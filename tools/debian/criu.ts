import { mkdir, mkdtemp, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { openApt } from "./apt.ts";
import { command } from "./command.ts";

/** A criu that knows today's kernels: Debian 12's does not get along with the vDSO of Linux 6.13 and later. */
export const RECENT_CRIU = "/var/cache/trimaran/criu-trixie/bin/criu";

const PREFIX = dirname(dirname(RECENT_CRIU));
const SUITE = "trixie";

/**
 * Download and unpack the criu of Debian's next release, with every library that it needs beside it, libc too: nothing else of this machine's
 * changes. The prefix appears whole or not at all.
 */
export async function unpackCriu(): Promise<void> {
  await mkdir(dirname(PREFIX), { recursive: true });
  const work = await mkdtemp(`${PREFIX}.new-`);
  try {
    const apt = await openApt(join(work, "apt"), [SUITE]);
    await command([...apt.get, "update", "-q"]);
    const status = join(work, "status"); // as if nothing were installed: all that it depends on is downloaded
    await writeFile(status, "");
    const bare = ["-o", `Dir::State::status=${status}`];
    await command([...apt.get, ...bare, "install", "-y", "--no-install-recommends", "--download-only", "criu"]);
    const archives = join(work, "apt/cache/archives");
    const tree = join(work, "tree");
    for (const file of (await readdir(archives)).filter((name) => name.endsWith(".deb")))
      await command(["dpkg", "-x", join(archives, file), tree]);
    await publish(tree);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** RPATH, not RUNPATH: the libraries' own libraries are to be found there as well. */
async function publish(tree: string): Promise<void> {
  const made = join(dirname(tree), "prefix");
  const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  const loader = process.arch === "arm64" ? "ld-linux-aarch64.so.1" : "ld-linux-x86-64.so.2";
  await mkdir(join(made, "bin"), { recursive: true });
  await rename(join(tree, "usr/sbin/criu"), join(made, "bin/criu"));
  await rename(join(tree, "usr/lib", triplet), join(made, "lib"));
  const lib = join(PREFIX, "lib"); // where it will be
  const flags = ["--set-interpreter", join(lib, loader), "--force-rpath", "--set-rpath", lib];
  await command(["patchelf", ...flags, join(made, "bin/criu")]);
  await rm(PREFIX, { recursive: true, force: true });
  await rename(made, PREFIX);
}
