import { InvalidSpec, inNetworkNamespace, Netlink, type NetlinkObject } from "@trimaran/linux";
import type { trimaran } from "@trimaran/proto";

// linux/rtnetlink.h, if_link.h, if_addr.h, if_arp.h
const RTM_GETLINK = 18;
const RTM_GETADDR = 22;
const RTM_GETROUTE = 26;
const LINK_BYTES = 16;
const ADDRESS_BYTES = 8;
const ROUTE_BYTES = 12;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const ARPHRD_ETHER = 1;
const RT_SCOPE_UNIVERSE = 0;
const RT_TABLE_MAIN = 254;
const RTPROT_KERNEL = 2;
const RTN_UNICAST = 1;

/** Our own device in a pod's namespace; not the pod's. */
export const TAP_NAME = "trimaran0";

/** A pod's interface as its network plugin has made it. */
export interface PodInterface {
  readonly index: number;
  readonly name: string;
  readonly mac: Buffer;
  readonly mtu: number;
}

/** What the guest is to have, and the interface that it takes over. */
export interface PodNetwork {
  readonly link: PodInterface;
  readonly interfaces: readonly Interface[];
  readonly routes: readonly Route[];
}

type Interface = Omit<trimaran.agent.v1.Interface, "$type">;
type Route = Omit<trimaran.agent.v1.Route, "$type">;

/**
 * Read a pod's network namespace. Undefined where there is nothing but a loopback. Throws InvalidSpec on more interfaces than a machine has; SyscallError
 * where there is no such namespace.
 */
export function readPodNetwork(path: string): PodNetwork | undefined {
  return inNetworkNamespace(path, () => {
    using netlink = new Netlink();
    const links = netlink.dump(RTM_GETLINK, LINK_BYTES, "network: links").flatMap(toInterface);
    const [link] = links;
    if (link === undefined) return undefined;
    if (links.length > 1)
      throw new InvalidSpec(
        "linux.namespaces network",
        `has ${links.length} interfaces (${links.map(({ name }) => name).join(", ")}); a machine has one`,
        path,
      );
    const addresses = netlink.dump(RTM_GETADDR, ADDRESS_BYTES, "network: addresses");
    const routes = netlink.dump(RTM_GETROUTE, ROUTE_BYTES, "network: routes");
    const { name, mac, mtu, index } = link;
    return {
      link,
      interfaces: [{ name, mac, mtu, addresses: addresses.flatMap((one) => toAddress(one, index)) }],
      routes: byDependence(routes.flatMap((route) => toRoute(route, link))),
    };
  });
}

function toInterface({ body, attributes }: NetlinkObject): PodInterface[] {
  const name = attributes.get(IFLA_IFNAME)?.toString("latin1").replace(/\0.*$/, "") ?? "";
  if (body.readUInt16LE(2) !== ARPHRD_ETHER || name === TAP_NAME) return [];
  const mac = Buffer.from(attributes.get(IFLA_ADDRESS) ?? []);
  return [{ index: body.readInt32LE(4), name, mac, mtu: attributes.get(IFLA_MTU)?.readUInt32LE(0) ?? 0 }];
}

/** Link-local ones are the guest's own business. */
function toAddress({ body, attributes }: NetlinkObject, index: number): Interface["addresses"] {
  const address = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
  const isWanted = body.readUInt32LE(4) === index && body.readUInt8(3) === RT_SCOPE_UNIVERSE;
  return isWanted && address ? [{ address: Buffer.from(address), prefixLength: body.readUInt8(1) }] : [];
}

/** Those that somebody has made; the kernel makes its own in the guest, too. */
function toRoute({ body, attributes }: NetlinkObject, { index, name }: PodInterface): Route[] {
  const [table, protocol, kind] = [body.readUInt8(4), body.readUInt8(5), body.readUInt8(7)];
  if (table !== RT_TABLE_MAIN || protocol === RTPROT_KERNEL || kind !== RTN_UNICAST) return [];
  if (attributes.get(RTA_OIF)?.readUInt32LE(0) !== index) return [];
  const bytes = (type: number): Buffer => Buffer.from(attributes.get(type) ?? []);
  return [
    { destination: bytes(RTA_DST), prefixLength: body.readUInt8(1), gateway: bytes(RTA_GATEWAY), interface: name },
  ];
}

/** A gateway must be reachable before it is used: routes on the link come first. */
function byDependence(routes: readonly Route[]): Route[] {
  return [...routes].sort((a, b) => Number(a.gateway.length > 0) - Number(b.gateway.length > 0));
}
