import { Code, ManagerError, type PortMapping } from "@trimaran/manager";

/** The network flags of `run`. */
export interface NetworkFlags {
  readonly net?: string;
  readonly netHost: boolean;
  readonly publish?: readonly PortMapping[];
}

/** What they come to. */
export interface NetworkChoice {
  readonly hostNetwork: boolean;
  /** A network that plugins connect to; undefined: none. */
  readonly network: string | undefined;
  readonly ports: readonly PortMapping[];
}

/** `--net bridge|host|none|NAME`; without it a published port asks for the bridge. Throws InvalidArgument for what does not go together. */
export function parseNetwork({ net, netHost, publish = [] }: NetworkFlags): NetworkChoice {
  if (netHost && net !== undefined && net !== "host") throw refused(`--net-host: not together with --net ${net}`);
  const chosen = net ?? (netHost ? "host" : publish.length > 0 ? "bridge" : "none");
  if (chosen !== "host" && chosen !== "none") return { hostNetwork: false, network: chosen, ports: publish };
  if (publish.length > 0) throw refused(`--publish: a port cannot be published with --net ${chosen}`);
  return { hostNetwork: chosen === "host", network: undefined, ports: [] };
}

function refused(message: string): ManagerError {
  return new ManagerError(Code.InvalidArgument, message, { hint: "trimaran run --net bridge -p 8080:80 IMAGE" });
}
