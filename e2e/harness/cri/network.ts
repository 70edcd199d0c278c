import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Engine } from "../containerd.ts";
import { run, runOk } from "../process.ts";

/** Where CNI notes what it has given to whom. */
const RESULTS = "/var/lib/cni/results";

/** What pods of an engine are connected by. */
export interface PodNetwork extends AsyncDisposable {
  /** The interface's name on the host. */
  readonly bridge: string;
}

/** A network for an engine's pods: a bridge without an address, so that nothing leaves it. Disposing removes it, and what a failed test has left. */
export async function openPodNetwork(engine: Engine): Promise<PodNetwork> {
  const bridge = engine.tag.slice(-15); // an interface's name has 15 characters
  const list = {
    cniVersion: "0.4.0",
    name: engine.tag,
    plugins: [
      {
        type: "bridge",
        bridge,
        isGateway: false,
        ipMasq: false,
        ipam: { type: "host-local", subnet: "10.203.0.0/24", dataDir: join(engine.dir, "ipam") },
      },
    ],
  };
  await runOk(["ip", "link", "add", bridge, "type", "bridge"]);
  await runOk(["ip", "link", "set", bridge, "up"]);
  await writeFile(join(engine.dir, "cni/conf/10-pods.conflist"), JSON.stringify(list));
  return {
    bridge,
    async [Symbol.asyncDispose]() {
      for (const name of await readdir(RESULTS).catch(() => [])) {
        const [, id] = new RegExp(`^${engine.tag}-(.*)-eth0$`).exec(name) ?? [];
        if (id !== undefined) await removePod(join(RESULTS, name), join(RESULTS, `cni-loopback-${id}-lo`));
      }
      await runOk(["ip", "link", "del", bridge]);
    },
  };
}

/** A pod's network namespace, and CNI's notes of it. */
async function removePod(result: string, loopback: string): Promise<void> {
  const { netns } = JSON.parse(await readFile(result, "utf8")) as { netns?: string };
  if (netns !== undefined) {
    await run(["umount", netns]);
    await rm(netns, { force: true });
  }
  for (const file of [result, loopback]) await rm(file, { force: true });
}
