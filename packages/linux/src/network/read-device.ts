import { InvalidSpec } from "../spec/invalid-spec.ts";
import type { NetDevice } from "../spec/net-devices.ts";
import { ADDRESS_BYTES, IFA, IFLA, LINK_BYTES, RTM } from "./netlink.ts";
import { Netlink, type NetlinkObject } from "./netlink-socket.ts";

/** An interface that is to be moved, and the addresses that it would lose by that. */
export interface FoundDevice extends NetDevice {
  readonly index: number;
  readonly addresses: readonly Address[];
}

/** A permanent, global address. `bytes`: 4 or 16. */
export interface Address {
  readonly family: number;
  readonly prefix: number;
  readonly bytes: Uint8Array;
  readonly broadcast: Uint8Array | undefined;
}

const GLOBAL_SCOPE = 0;
const PERMANENT = 0x80;

/** Look interfaces of our own network namespace up. One that is not there is left out, or with `missing: "throw"` an InvalidSpec. */
export function readDevices(devices: readonly NetDevice[], missing: "skip" | "throw"): FoundDevice[] {
  if (devices.length === 0) return [];
  using netlink = new Netlink();
  const links = netlink.dump(RTM.getLink, LINK_BYTES, "links");
  const addresses = netlink.dump(RTM.getAddress, ADDRESS_BYTES, "addresses");
  return devices.flatMap((device) => {
    const link = links.find(({ attributes }) => nameOf(attributes) === device.hostName);
    if (link !== undefined) {
      const index = link.body.readInt32LE(4);
      return [{ ...device, index, addresses: addresses.flatMap((address) => toAddress(address, index) ?? []) }];
    }
    if (missing === "throw") throw new InvalidSpec(device.field, "no such interface");
    return [];
  });
}

function nameOf(attributes: NetlinkObject["attributes"]): string | undefined {
  return attributes.get(IFLA.name)?.toString().replace("\0", "");
}

/** Undefined for one of another interface, and for what the kernel or a lease will make again or take away. */
function toAddress({ body, attributes }: NetlinkObject, index: number): Address | undefined {
  const [family = 0, prefix = 0, flags = 0, scope = 0] = body;
  const allFlags = attributes.get(IFA.flags)?.readUInt32LE(0) ?? flags;
  const bytes = attributes.get(IFA.local) ?? attributes.get(IFA.address);
  if (bytes === undefined || body.readUInt32LE(4) !== index) return undefined;
  if (scope !== GLOBAL_SCOPE || (allFlags & PERMANENT) === 0) return undefined;
  const broadcast = attributes.get(IFA.broadcast);
  return { family, prefix, bytes: Uint8Array.from(bytes), broadcast: broadcast && Uint8Array.from(broadcast) };
}
