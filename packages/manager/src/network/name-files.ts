import type { CniDns } from "./cni/cni-result.ts";

/** What docker takes when the host's own servers can't be reached from a container. */
const PUBLIC_NAMESERVERS = ["8.8.8.8", "8.8.4.4"];

/**
 * A container's /etc/resolv.conf: what the network says, else the host's without servers on the host's loopback, which a container
 * can't reach; if none is left, public ones.
 */
export function makeResolvConf(dns: CniDns, hostText: string): string {
  if (dns.nameservers.length > 0) return formatDns(dns);
  const lines = hostText.split("\n").filter((line) => !isLoopbackServer(line));
  if (!lines.some((line) => /^\s*nameserver\s/.test(line))) {
    lines.push(...PUBLIC_NAMESERVERS.map((server) => `nameserver ${server}`));
  }
  return `${lines.join("\n").trim()}\n`;
}

/** A container's /etc/hosts: itself under its name at each of its addresses (`10.77.0.2/16`). */
export function makeHosts(hostname: string, addresses: readonly string[]): string {
  const own = addresses.map((address) => `${address.split("/")[0]}\t${hostname}\n`);
  return ["127.0.0.1\tlocalhost\n", "::1\tlocalhost ip6-localhost ip6-loopback\n", ...own].join("");
}

function formatDns({ nameservers, domain, search, options }: CniDns): string {
  const lines = [
    ...(domain === "" ? [] : [`domain ${domain}`]),
    ...(search.length === 0 ? [] : [`search ${search.join(" ")}`]),
    ...nameservers.map((server) => `nameserver ${server}`),
    ...(options.length === 0 ? [] : [`options ${options.join(" ")}`]),
  ];
  return lines.map((line) => `${line.replaceAll("\n", " ")}\n`).join("");
}

function isLoopbackServer(line: string): boolean {
  return /^\s*nameserver\s+(127\.|::1\s*$|0*:0*:0*:0*:0*:0*:0*:0*1\s*$)/.test(line);
}
