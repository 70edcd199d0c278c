import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { openApt } from "./apt.ts";
import { command } from "./command.ts";

/** Download one package of a Debian suite, without what it depends on, and unpack it below a prefix, which appears whole or not at all. */
export async function unpackPackage(name: string, suite: string, prefix: string): Promise<void> {
  await mkdir(dirname(prefix), { recursive: true });
  const work = await mkdtemp(`${prefix}.new-`);
  try {
    const apt = await openApt(join(work, "apt"), [suite]);
    await command([...apt.get, "update", "-q"]);
    await command([...apt.get, "download", name], { cwd: work });
    const [file] = (await readdir(work)).filter((each) => each.endsWith(".deb"));
    if (file === undefined) throw new Error(`no ${name} in ${suite}`);
    await command(["dpkg", "-x", join(work, file), join(work, "tree")]);
    await rm(prefix, { recursive: true, force: true });
    await rename(join(work, "tree"), prefix);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
