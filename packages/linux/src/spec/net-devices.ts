import { InvalidSpec } from "./invalid-spec.ts";
import type { JsonObject } from "./json.ts";
import * as json from "./json.ts";

/** One of `linux.netDevices`: an interface of the host's, and its name in the container. `field` is for messages. */
export interface NetDevice {
  readonly field: string;
  readonly hostName: string;
  readonly name: string;
}

/** `linux.netDevices` from untrusted JSON. Throws InvalidSpec. */
export function parseNetDevices(parent: JsonObject, at: string, hasNamespace: boolean): NetDevice[] {
  const from = json.optionalObject(parent, "netDevices", at) ?? {};
  const here = json.pathOf(at, "netDevices");
  const seen = new Set<string>();
  const devices = Object.keys(from).map((hostName) => {
    if (!isInterfaceName(hostName)) throw new InvalidSpec(here, "not an interface's name", hostName);
    const device = json.asObject(from[hostName], `${here}.${hostName}`);
    const name = json.optionalString(device, "name", `${here}.${hostName}`) || hostName;
    const field = `${here}.${hostName}.name`;
    if (!isInterfaceName(name)) throw new InvalidSpec(field, "not an interface's name", name);
    if (seen.has(name)) throw new InvalidSpec(field, "given twice", name);
    seen.add(name);
    return { field: `${here} ${JSON.stringify(hostName)}`, hostName, name };
  });
  if (devices.length > 0 && !hasNamespace) throw new InvalidSpec(here, "needs a network namespace");
  return devices;
}

/** The kernel's rule, and no `%`: such a template would make a name that nobody knows. Source: dev_valid_name. */
function isInterfaceName(name: string): boolean {
  return /^[^\s/:%]{1,15}$/.test(name) && name !== "." && name !== "..";
}
