import type { CniObject } from "./cni/cni-json.ts";
import { asList, asObject, asText, parseCniObject } from "./cni/cni-json.ts";
import type { CapabilityArguments } from "./cni/network-chain.ts";
import { type NetworkConfig, parseNetworkConfig } from "./cni/network-config.ts";

/**
 * What must be known to take a container out of its networks again, whatever became of the configuration files since. On disk before
 * the first plugin runs.
 */
export interface Attachment {
  readonly namespace: string;
  readonly id: string;
  /** Path of the network namespace. */
  readonly netns: string;
  /** In the order of attaching: the loopback first. */
  readonly networks: readonly AttachedNetwork[];
}

/** One network of an attachment. */
export interface AttachedNetwork {
  readonly config: NetworkConfig;
  readonly ifName: string;
  readonly capabilities: CapabilityArguments;
  /** What ADD has answered; undefined if it was cut short. */
  readonly result: CniObject | undefined;
}

/** The text of an attachment's file. */
export function formatAttachment(attachment: Attachment): string {
  return `${JSON.stringify(attachment, undefined, 2)}\n`;
}

/** Parse it again. `what` names it in errors. Throws InvalidArgument. */
export function parseAttachment(text: string, what: string): Attachment {
  const { namespace, id, netns, networks } = parseCniObject(text, what);
  return {
    namespace: asText(namespace, `${what}: namespace`),
    id: asText(id, `${what}: id`),
    netns: asText(netns, `${what}: netns`),
    networks: asList(networks, `${what}: networks`).map((item, index) => {
      const field = `${what}: networks[${index}]`;
      const network = asObject(item, field);
      return {
        config: parseNetworkConfig(JSON.stringify(network.config), `${field}.config`),
        ifName: asText(network.ifName, `${field}.ifName`),
        capabilities: asObject(network.capabilities, `${field}.capabilities`),
        result: network.result === undefined ? undefined : asObject(network.result, `${field}.result`),
      };
    }),
  };
}
