import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeHosts, makeResolvConf } from "../network/name-files.ts";
import type { OciSpec } from "../spec/oci-spec.ts";
import type { ClientContainer } from "./client-container.ts";
import { readContainer } from "./find-container.ts";
import { containerFolder, type ManagerClient } from "./manager-client.ts";

/** Files of a container that its network decides, by their names in /etc. */
const NAME_FILES = ["hosts", "hostname", "resolv.conf"] as const;

/** Put a network namespace of ours and the files that go with it into a spec. Nothing is made yet. */
export async function useNetwork(client: ManagerClient, spec: OciSpec, id: string): Promise<void> {
  const netns = (await client.networks()).netnsPath(client.namespace, id);
  spec.linux.namespaces = spec.linux.namespaces.map((each) =>
    each.type === "network" ? { ...each, path: netns } : each,
  );
  spec.hostname ??= id;
  const folder = containerFolder(client, id);
  for (const name of NAME_FILES) {
    const source = join(folder, name);
    spec.mounts.push({ destination: `/etc/${name}`, type: "bind", source, options: ["rbind", "rw"] });
  }
}

/**
 * Connect a container that is on record to its network, if it has one, and write its name files: due before each of its tasks. What
 * containers that are gone have left is taken back first.
 */
export async function connectContainer(
  client: ManagerClient,
  container: ClientContainer,
  hostname: string,
): Promise<void> {
  const { id, network, ports } = container;
  if (network === undefined) return;
  const networks = await client.networks();
  await networks.sweep(client.namespace, async (other) => (await readContainer(client, other)) !== undefined);
  const { result } = await networks.connect(client.namespace, id, network, ports);
  const folder = containerFolder(client, id);
  await mkdir(folder, { recursive: true, mode: 0o711 });
  const contents = {
    hosts: makeHosts(hostname, result.addresses),
    hostname: `${hostname}\n`,
    "resolv.conf": makeResolvConf(result.dns, await readFile("/etc/resolv.conf", "utf8").catch(() => "")),
  };
  for (const name of NAME_FILES) await writeFile(join(folder, name), contents[name], { mode: 0o644 });
}

/** Take a container without a task out of its network. Safe to repeat. */
export async function disconnectContainer(
  client: ManagerClient,
  id: string,
  network: string | undefined,
): Promise<void> {
  if (network === undefined) return; // most containers: nothing is loaded for them
  await (await client.networks()).disconnect(client.namespace, id);
}
