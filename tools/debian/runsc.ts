import { mkdir, mkdtemp, readdir, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { openApt } from "./apt.ts";
import { command } from "./command.ts";

/** The newer runsc, beside Debian 12's own. */
export const RECENT_RUNSC = "/var/cache/trimaran/runsc-backports/usr/bin/runsc";

const PREFIX = dirname(dirname(dirname(RECENT_RUNSC)));
const SUITE = "bookworm-backports";

/** Download and unpack the runsc of the backports. It is static, and runs from anywhere. The prefix appears whole or not at all. */
export async function unpackRunsc(): Promise<void> {
  await mkdir(dirname(PREFIX), { recursive: true });
  const work = await mkdtemp(`${PREFIX}.new-`);
  try {
    const apt = await openApt(join(work, "apt"), [SUITE]);
    await command([...apt.get, "update", "-q"]);
    await command([...apt.get, "download", "runsc"], { cwd: work });
    const [file] = (await readdir(work)).filter((name) => name.endsWith(".deb"));
    if (file === undefined) throw new Error(`no runsc in ${SUITE}`);
    await command(["dpkg", "-x", join(work, file), join(work, "tree")]);
    await rm(PREFIX, { recursive: true, force: true });
    await rename(join(work, "tree"), PREFIX);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
