import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../errors/manager-error.ts";
import { writeFileAtomic } from "../host/atomic-file.ts";
import { type AttachedNetwork, type Attachment, formatAttachment, parseAttachment } from "./attachment.ts";
import { type CniResult, parseCniResult } from "./cni/cni-result.ts";
import { addToNetwork, type ChainRequest, checkNetwork, removeFromNetwork } from "./cni/network-chain.ts";
import { defaultNetworkConfig, findNetworkConfig, type NetworkConfig, requireNetwork } from "./cni/network-config.ts";
import type { CniHost } from "./cni/plugin.ts";
import { makeNetworkNamespace, type NamespaceLibc, removeNetworkNamespace } from "./network-namespace.ts";
import type { PortMapping } from "./port-mapping.ts";

/** What container networks stand on. */
export interface NetworkHost {
  /** Keeps namespaces, attachments and addresses; a reboot empties it. */
  readonly state: string;
  /** The user's own networks: /etc/cni/net.d. */
  readonly configDirectory: string;
  readonly cni: CniHost;
  readonly libc: () => NamespaceLibc;
}

/** A container that has its network. */
export interface ConnectedContainer {
  /** Path of its network namespace, for the spec. */
  readonly netns: string;
  readonly network: string;
  readonly result: CniResult;
}

const LOOPBACK: NetworkConfig = {
  cniVersion: "1.0.0",
  name: "trimaran-loopback",
  disableCheck: false,
  plugins: [{ type: "loopback" }],
};
const DEFAULT_BRIDGE = { bridge: "trimaran0", subnet: "10.77.0.0/16" };
const BRIDGE = "bridge";

/** The networks of containers: a namespace for each, CNI plugins to fill it, and a file that says how to take it all back. */
export class ContainerNetworks {
  readonly #host: NetworkHost;
  readonly #folder: string;

  constructor(host: NetworkHost) {
    this.#host = host;
    this.#folder = join(host.state, "networks");
  }

  /** Where a container's network namespace is or would be. */
  netnsPath(namespace: string, id: string): string {
    return join(this.#host.state, "netns", namespace, id);
  }

  /**
   * Make a network namespace and connect it. `network` "bridge" is the user's first network, or our own where there is none; any other
   * name is one of the user's. After a failure nothing stays behind. Throws NotFound, CniError.
   */
  async connect(
    namespace: string,
    id: string,
    network: string,
    ports: readonly PortMapping[],
  ): Promise<ConnectedContainer> {
    const config = await this.#find(network);
    await this.disconnect(namespace, id); // of a container of that id that was cut short
    const netns = this.netnsPath(namespace, id);
    const networks: AttachedNetwork[] = [
      { config: LOOPBACK, ifName: "lo", capabilities: {}, result: undefined },
      { config, ifName: "eth0", capabilities: ports.length > 0 ? { portMappings: ports } : {}, result: undefined },
    ];
    await this.#write({ namespace, id, netns, networks });
    try {
      makeNetworkNamespace(netns, this.#host.libc());
      const results: CniResult[] = [];
      for (const each of networks) {
        results.push(await addToNetwork(this.#host.cni, this.#request({ namespace, id, netns, networks }, each)));
      }
      const done = networks.map((each, index) => ({ ...each, result: results[index]?.raw }));
      await this.#write({ namespace, id, netns, networks: done });
      return { netns, network: config.name, result: results.at(-1) ?? parseCniResult({}) };
    } catch (error) {
      await this.disconnect(namespace, id).catch(() => {}); // the first error is the one to tell
      throw error;
    }
  }

  /** Take a container out of its networks and let go of its namespace. One that is in none is success. Safe to repeat. */
  async disconnect(namespace: string, id: string): Promise<void> {
    const attachment = await this.#read(namespace, id);
    if (attachment === undefined) return;
    for (const network of attachment.networks.toReversed()) {
      await removeFromNetwork(this.#host.cni, this.#request(attachment, network), network.result);
    }
    removeNetworkNamespace(attachment.netns, this.#host.libc());
    await rm(this.#file(namespace, id), { force: true });
  }

  /** Ask the plugins whether the container's network is as it was made. Throws the first no; one without networks is fine. */
  async check(namespace: string, id: string): Promise<void> {
    const attachment = await this.#read(namespace, id);
    for (const network of attachment?.networks ?? []) {
      if (attachment === undefined || network.result === undefined) continue;
      await checkNetwork(this.#host.cni, this.#request(attachment, network), network.result);
    }
  }

  /** What the container's network has given it; undefined if it has none of ours. */
  async result(namespace: string, id: string): Promise<CniResult | undefined> {
    const raw = (await this.#read(namespace, id))?.networks.at(-1)?.result;
    return raw === undefined ? undefined : parseCniResult(raw);
  }

  /**
   * Disconnect what belongs to containers that nobody knows any more: of a client that was killed, or removed by another client. A
   * container is on record before it is connected.
   */
  async sweep(namespace: string, isKnown: (id: string) => Promise<boolean>): Promise<void> {
    for (const id of await this.#ids(namespace)) {
      if (!(await isKnown(id))) await this.disconnect(namespace, id);
    }
  }

  async #find(network: string): Promise<NetworkConfig> {
    const { configDirectory, state } = this.#host;
    if (network !== BRIDGE) {
      return requireNetwork(await findNetworkConfig(configDirectory, network), network, configDirectory);
    }
    const own = () => defaultNetworkConfig({ ...DEFAULT_BRIDGE, addressDirectory: join(state, "addresses") });
    return (await findNetworkConfig(configDirectory)) ?? own();
  }

  #request({ namespace, id, netns }: Attachment, network: AttachedNetwork): ChainRequest {
    // No identifier has two dashes in a row, so this is unique.
    const target = { containerId: `${namespace}--${id}`, netns, ifName: network.ifName };
    return { config: network.config, target, capabilities: network.capabilities };
  }

  async #ids(namespace: string): Promise<string[]> {
    try {
      const names = await readdir(join(this.#folder, namespace));
      return names.filter((name) => name.endsWith(".json")).map((name) => name.slice(0, -".json".length));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return [];
      throw error;
    }
  }

  async #read(namespace: string, id: string): Promise<Attachment | undefined> {
    const path = this.#file(namespace, id);
    try {
      return parseAttachment(await readFile(path, "utf8"), path);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  async #write(attachment: Attachment): Promise<void> {
    await mkdir(join(this.#folder, attachment.namespace), { recursive: true, mode: 0o711 });
    await writeFileAtomic(this.#file(attachment.namespace, attachment.id), formatAttachment(attachment));
  }

  #file(namespace: string, id: string): string {
    return join(this.#folder, namespace, `${id}.json`);
  }
}
