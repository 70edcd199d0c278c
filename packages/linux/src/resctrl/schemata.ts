/** A group's limits: by resource ("L3", "MB"), then by domain (the id of a cache), as text. */
export type Schemata = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** Lines `RESOURCE:DOMAIN=VALUE;…`, as in a group's `schemata`. What is no such thing is left out. Source: the kernel's resctrl.rst. */
export function parseSchemata(lines: readonly string[]): Schemata {
  const found = new Map<string, Map<string, string>>();
  for (const line of lines) {
    const [, resource = "", rest = ""] = /^\s*([^:\s]+)\s*:(.*)$/.exec(line) ?? [];
    const domains = found.get(resource) ?? new Map<string, string>();
    for (const part of rest.split(";")) {
      const [domain = "", value = ""] = part.split("=").map((word) => word.trim());
      if (domain !== "" && value !== "") domains.set(domain, value);
    }
    if (resource !== "") found.set(resource, domains);
  }
  return found;
}

/**
 * The first thing that a group does not have as it is wanted, as a text for a message; undefined if it has everything. Masks are compared as
 * numbers; bandwidths, in percent, as the kernel rounds them: up to the next multiple of `bandwidthStep`.
 */
export function findMismatch(wanted: Schemata, present: Schemata, bandwidthStep: number): string | undefined {
  for (const [resource, domains] of wanted) {
    for (const [domain, value] of domains) {
      const has = present.get(resource)?.get(domain);
      const same =
        has !== undefined &&
        (resource === "MB" ? sameBandwidth(value, has, bandwidthStep) : maskOf(value) === maskOf(has));
      if (!same)
        return `${resource}:${domain}=${value} is wanted, ${has === undefined ? "there is none" : `it has ${has}`}`;
    }
  }
  return undefined;
}

function sameBandwidth(wanted: string, present: string, step: number): boolean {
  return Math.ceil(Number(wanted) / step) * step === Number(present) || wanted === present;
}

/** A hexadecimal mask as a number; anything else as it is. */
function maskOf(text: string): bigint | string {
  return /^(0x)?[0-9a-fA-F]+$/.test(text) ? BigInt(`0x${text.replace(/^0x/, "")}`) : text;
}
