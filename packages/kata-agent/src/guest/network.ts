import { readdirSync, readFileSync } from "node:fs";
import { IFF_UP, linkBody, Netlink, type NetlinkAttribute, netlinkText, netlinkWord } from "@trimaran/linux";
import type { trimaran } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";

type Request = trimaran.agent.v1.ConfigureNetworkRequest;
type Interface = trimaran.agent.v1.Interface;
type Address = trimaran.agent.v1.Address;
type Route = trimaran.agent.v1.Route;

// linux/rtnetlink.h, if_link.h, if_addr.h, if.h, netlink.h
const RTM_NEWLINK = 16;
const RTM_NEWADDR = 20;
const RTM_NEWROUTE = 24;
const NLM_F_REPLACE = 0x100;
const NLM_F_CREATE = 0x400;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_F_NODAD = 2;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const AF_INET = 2;
const AF_INET6 = 10;
const RT_TABLE_MAIN = 254;
const RTPROT_STATIC = 4;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const LOOPBACK = "lo";
const MAC_BYTES = 6;
const NAME_LIMIT_BYTES = 15;

/**
 * Give the guest's network devices, in their order, the names, MACs, addresses and routes that the pod's interfaces have on the host. Again it does
 * the same. Throws InvalidArgument naming the field; SyscallError with what the kernel refused.
 */
export async function configureNetwork({ interfaces, routes }: Request): Promise<void> {
  const devices = listDevices();
  using netlink = new Netlink();
  setUp(netlink, indexOf(LOOPBACK), LOOPBACK);
  interfaces.forEach((wanted, at) => {
    const device = devices[at];
    if (device === undefined)
      throw new StatusError(
        Code.InvalidArgument,
        `interfaces[${at}] ${wanted.name}: the guest has ${devices.length} devices`,
      );
    configureLink(netlink, device, wanted);
    for (const address of wanted.addresses) addAddress(netlink, device.index, address, wanted.name);
  });
  for (const route of routes) addRoute(netlink, route);
}

/** A device as it is. */
interface Device {
  readonly index: number;
  readonly name: string;
  readonly mac: Buffer;
  readonly mtu: number;
}

/** The devices that are not the loopback. */
function listDevices(): Device[] {
  const names = readdirSync("/sys/class/net").filter((name) => name !== LOOPBACK);
  return names.map(readDevice).sort((a, b) => a.index - b.index);
}

function readDevice(name: string): Device {
  const read = (file: string) => readFileSync(`/sys/class/net/${name}/${file}`, "utf8").trim();
  const mac = Buffer.from(read("address").replaceAll(":", ""), "hex");
  return { index: indexOf(name), name, mac, mtu: Number(read("mtu")) };
}

function indexOf(name: string): number {
  return Number(readFileSync(`/sys/class/net/${name}/ifindex`, "utf8"));
}

/** Changes what is not as it shall be: a device that is up has its name for good, and containers that use it. */
function configureLink(netlink: Netlink, device: Device, { name, mac, mtu }: Interface): void {
  if (name === "" || Buffer.byteLength(name) > NAME_LIMIT_BYTES || /[/\0\s]/.test(name))
    throw new StatusError(Code.InvalidArgument, `interfaces: name ${JSON.stringify(name)}`);
  if (mac.length !== 0 && mac.length !== MAC_BYTES)
    throw new StatusError(Code.InvalidArgument, `interfaces ${name}: mac has ${mac.length} bytes`);
  const attributes: NetlinkAttribute[] = [];
  if (name !== device.name) attributes.push([IFLA_IFNAME, netlinkText(name)]);
  if (mac.length > 0 && !device.mac.equals(mac)) attributes.push([IFLA_ADDRESS, mac]);
  if (mtu > 0 && mtu !== device.mtu) attributes.push([IFLA_MTU, netlinkWord(mtu)]);
  if (attributes.length > 0)
    netlink.request(RTM_NEWLINK, 0, linkBody(device.index, 0, IFF_UP), attributes, `interfaces ${name}`);
  setUp(netlink, device.index, name);
}

function setUp(netlink: Netlink, index: number, name: string): void {
  netlink.request(RTM_NEWLINK, 0, linkBody(index, IFF_UP, IFF_UP), [], `interfaces ${name}: up`);
}

function addAddress(netlink: Netlink, index: number, { address, prefixLength }: Address, name: string): void {
  const family = familyOf(`interfaces ${name}: addresses`, address);
  const body = Buffer.from([
    family,
    prefixLength,
    family === AF_INET6 ? IFA_F_NODAD : 0,
    RT_SCOPE_UNIVERSE,
    0,
    0,
    0,
    0,
  ]);
  body.writeUInt32LE(index, 4); // struct ifaddrmsg
  const attributes: NetlinkAttribute[] = [
    [IFA_LOCAL, address],
    [IFA_ADDRESS, address],
  ];
  netlink.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, body, attributes, `interfaces ${name}: addresses`);
}

function addRoute(netlink: Netlink, route: Route): void {
  const given = route.destination.length > 0 ? route.destination : route.gateway;
  const family = familyOf("routes", given);
  const scope = route.gateway.length > 0 ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
  const { destination, gateway, prefixLength } = route;
  // struct rtmsg
  const kind = [family, prefixLength, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, 0, 0, 0, 0];
  const attributes: NetlinkAttribute[] = [[RTA_OIF, netlinkWord(indexOf(route.interface))]];
  if (destination.length > 0) attributes.push([RTA_DST, destination]);
  if (gateway.length > 0) attributes.push([RTA_GATEWAY, gateway]);
  netlink.request(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, Buffer.from(kind), attributes, "routes");
}

function familyOf(field: string, { length }: Uint8Array): number {
  if (length === 4) return AF_INET;
  if (length === 16) return AF_INET6;
  throw new StatusError(Code.InvalidArgument, `${field}: ${length} bytes are no address`);
}
