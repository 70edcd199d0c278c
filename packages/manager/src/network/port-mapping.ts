/** A port of the host that leads to one of a container. The names are those that CNI's portmap plugin reads. */
export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: "tcp" | "udp" | "sctp";
  /** Only for this address of the host; empty: for all. */
  readonly hostIP: string;
}

const MAPPING = /^(?:(\[[0-9a-fA-F:]+\]|[0-9.]+):)?(\d{1,5}):(\d{1,5})(?:\/(tcp|udp|sctp))?$/;

/** `[IP:]HOST:CONTAINER[/udp]`, as docker has it; an IPv6 address is in brackets. Throws RangeError. */
export function parsePortMapping(text: string): PortMapping {
  const [, ip = "", host, container, protocol = "tcp"] = MAPPING.exec(text) ?? [];
  if (host === undefined || container === undefined) {
    throw new RangeError(`${JSON.stringify(text)}: not [IP:]HOST:CONTAINER[/udp]`);
  }
  return {
    hostPort: parsePort(text, host),
    containerPort: parsePort(text, container),
    protocol: protocol === "udp" || protocol === "sctp" ? protocol : "tcp",
    hostIP: ip.replace(/^\[|\]$/g, ""),
  };
}

/** `0.0.0.0:8080->80/tcp`, as docker shows it. */
export function formatPortMapping({ hostIP, hostPort, containerPort, protocol }: PortMapping): string {
  const host = hostIP === "" ? "0.0.0.0" : hostIP.includes(":") ? `[${hostIP}]` : hostIP;
  return `${host}:${hostPort}->${containerPort}/${protocol}`;
}

function parsePort(text: string, digits: string): number {
  const port = Number(digits);
  if (port >= 1 && port <= 65535) return port;
  throw new RangeError(`${JSON.stringify(text)}: port ${digits} is not 1 to 65535`);
}
