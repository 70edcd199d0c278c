import type { CniObject } from "./cni-json.ts";
import { type CniResult, parseCniResult } from "./cni-result.ts";
import type { NetworkConfig } from "./network-config.ts";
import { type CniHost, type CniTarget, runPlugin } from "./plugin.ts";

/** Arguments for the plugins that say they can use them, by the names of the capabilities: `portMappings` and so on. */
export type CapabilityArguments = Readonly<Record<string, unknown>>;

/** A container's place in a network. */
export interface ChainRequest {
  readonly config: NetworkConfig;
  readonly target: CniTarget;
  readonly capabilities: CapabilityArguments;
}

/** Run the chain; each plugin gets what the one before has answered. If one fails all are told to take back what they did. */
export async function addToNetwork(host: CniHost, request: ChainRequest): Promise<CniResult> {
  let previous: CniObject | undefined;
  try {
    for (const plugin of request.config.plugins) {
      previous = await runPlugin(
        host,
        String(plugin.type),
        "ADD",
        request.target,
        toPluginConfig(request, plugin, previous),
      );
    }
    return parseCniResult(previous ?? {});
  } catch (error) {
    await removeFromNetwork(host, request, undefined).catch(() => {}); // the first error is the one to tell
    throw error;
  }
}

/**
 * Run the chain backwards. All plugins are run even if one fails; the first error is thrown then. `result` is what ADD has answered,
 * undefined if nobody knows. What is gone already is success, by the specification.
 */
export async function removeFromNetwork(
  host: CniHost,
  request: ChainRequest,
  result: CniObject | undefined,
): Promise<void> {
  const errors: unknown[] = [];
  for (const plugin of request.config.plugins.toReversed()) {
    try {
      await runPlugin(host, String(plugin.type), "DEL", request.target, toPluginConfig(request, plugin, result));
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.length > 0) throw errors[0];
}

/** Ask all plugins whether the container's network is as ADD has left it. Throws the first no. */
export async function checkNetwork(host: CniHost, request: ChainRequest, result: CniObject): Promise<void> {
  const { config } = request;
  if (config.disableCheck || config.cniVersion.startsWith("0.3.")) return; // CHECK is new in 0.4.0
  for (const plugin of config.plugins) {
    await runPlugin(host, String(plugin.type), "CHECK", request.target, toPluginConfig(request, plugin, result));
  }
}

function toPluginConfig(
  { config, capabilities }: ChainRequest,
  plugin: CniObject,
  previous: CniObject | undefined,
): CniObject {
  const { capabilities: wanted, ...rest } = plugin;
  const runtimeConfig = Object.fromEntries(
    Object.entries(capabilities).filter(([name]) => (wanted as CniObject | undefined)?.[name] === true),
  );
  return {
    ...rest,
    cniVersion: config.cniVersion,
    name: config.name,
    ...(Object.keys(runtimeConfig).length > 0 && { runtimeConfig }),
    ...(previous !== undefined && { prevResult: previous }),
  };
}
