import { asList, asObject, asText, type CniObject } from "./cni-json.ts";

/** How names are looked up in a network; every part may be empty. */
export interface CniDns {
  readonly nameservers: readonly string[];
  readonly domain: string;
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** What a network gave to a container. `raw` is the last plugin's answer as it is: later commands get it back. */
export interface CniResult {
  readonly raw: CniObject;
  /** With their prefix lengths: `10.77.0.2/16`. */
  readonly addresses: readonly string[];
  readonly dns: CniDns;
}

/** Parse what ADD answers, in the form of CNI 0.3 to 1.0. Throws InvalidArgument. */
export function parseCniResult(raw: CniObject): CniResult {
  const dns = raw.dns === undefined ? {} : asObject(raw.dns, "result.dns");
  const texts = (value: unknown, what: string) =>
    asList(value, what).map((item, index) => asText(item, `${what}[${index}]`));
  return {
    raw,
    addresses: asList(raw.ips, "result.ips").map((ip, index) =>
      asText(asObject(ip, `result.ips[${index}]`).address, `result.ips[${index}].address`),
    ),
    dns: {
      nameservers: texts(dns.nameservers, "result.dns.nameservers"),
      domain: asText(dns.domain, "result.dns.domain"),
      search: texts(dns.search, "result.dns.search"),
      options: texts(dns.options, "result.dns.options"),
    },
  };
}
