import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, errnoOf, ManagerError } from "../../errors/manager-error.ts";
import { asList, asObject, asText, badNetwork, type CniObject, parseCniObject } from "./cni-json.ts";

/** A network: a chain of plugins. Source: CNI specification 1.0, section 1. */
export interface NetworkConfig {
  readonly cniVersion: string;
  readonly name: string;
  readonly disableCheck: boolean;
  /** In the order of ADD; each has a `type`. */
  readonly plugins: readonly CniObject[];
}

const VERSIONS = new Set(["0.3.0", "0.3.1", "0.4.0", "1.0.0"]);
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;
const PLUGIN = /^[A-Za-z0-9][A-Za-z0-9_.-]*$/;

/**
 * Parse a `.conflist`, or a `.conf` of one plugin, which becomes a chain of one. `what` names it in errors. A plugin's type becomes
 * the name of a program, so nothing but a plain name may pass. Throws InvalidArgument.
 */
export function parseNetworkConfig(text: string, what: string): NetworkConfig {
  const document = parseCniObject(text, what);
  const cniVersion = asText(document.cniVersion, `${what}: cniVersion`);
  if (!VERSIONS.has(cniVersion)) {
    throw badNetwork(
      `${what}: cniVersion ${JSON.stringify(cniVersion)}`,
      `one of ${[...VERSIONS].join(", ")} is known`,
    );
  }
  const name = asText(document.name, `${what}: name`);
  if (!NAME.test(name)) throw badNetwork(`${what}: name ${JSON.stringify(name)}`, "not a name");
  const isList = document.plugins !== undefined;
  const given = isList ? asList(document.plugins, `${what}: plugins`) : [document];
  if (given.length === 0) throw badNetwork(`${what}: plugins`, "none");
  const plugins = given.map((item, index) => {
    const field = isList ? `${what}: plugins[${index}]` : what;
    const plugin = asObject(item, field);
    const type = asText(plugin.type, `${field}.type`);
    if (!PLUGIN.test(type)) throw badNetwork(`${field}.type ${JSON.stringify(type)}`, "not the name of a plugin");
    return plugin;
  });
  return { cniVersion, name, disableCheck: isList && document.disableCheck === true, plugins };
}

/**
 * The network of a name among the files of a directory, or the first one if none is said, by the files' names. Undefined if there is
 * no directory or no such network. A file that is broken is an error only if it would have been taken.
 */
export async function findNetworkConfig(directory: string, name?: string): Promise<NetworkConfig | undefined> {
  const files = (await namesIn(directory)).filter((file) => /\.(conflist|conf|json)$/.test(file)).sort();
  let broken: unknown;
  for (const file of files) {
    const path = join(directory, file);
    try {
      const config = parseNetworkConfig(await readFile(path, "utf8"), path);
      if (name === undefined || config.name === name) return config;
    } catch (error) {
      if (name === undefined) throw error;
      broken ??= error;
    }
  }
  if (broken !== undefined) throw broken;
  return undefined;
}

/** Where the default network keeps its addresses, and what it is called. */
export interface DefaultNetwork {
  /** In a directory that a reboot empties: no container outlives one. */
  readonly addressDirectory: string;
  /** Of the bridge, at most 15 bytes. */
  readonly bridge: string;
  /** CIDR. */
  readonly subnet: string;
}

/** Our own network: a bridge with addresses of a private subnet, the host's own address towards the world, published ports. */
export function defaultNetworkConfig({ addressDirectory, bridge, subnet }: DefaultNetwork): NetworkConfig {
  const ipam = {
    type: "host-local",
    ranges: [[{ subnet }]],
    routes: [{ dst: "0.0.0.0/0" }],
    dataDir: addressDirectory,
  };
  return {
    cniVersion: "1.0.0",
    name: "trimaran",
    disableCheck: false,
    plugins: [
      { type: "bridge", bridge, isGateway: true, ipMasq: true, hairpinMode: true, ipam },
      { type: "portmap", capabilities: { portMappings: true } },
    ],
  };
}

/** The network that was asked for by name, or NotFound. */
export function requireNetwork(config: NetworkConfig | undefined, name: string, directory: string): NetworkConfig {
  if (config !== undefined) return config;
  throw new ManagerError(Code.NotFound, `network ${JSON.stringify(name)}: not in ${directory}`, {
    hint: "trimaran run --net bridge …",
  });
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
