import { closeSync, openSync } from "node:fs";
import {
  encodeAttribute,
  IFF_UP,
  inNetworkNamespace,
  lazyNative,
  linkBody,
  Netlink,
  type NetlinkAttribute,
  netlinkText,
  netlinkWord,
  SyscallError,
} from "@trimaran/linux";
import { type PodInterface, readPodNetwork, TAP_NAME } from "./pod-network.ts";

// linux/if_tun.h, if.h, rtnetlink.h, pkt_sched.h, pkt_cls.h, tc_act/tc_mirred.h
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const IFF_TAP = 2;
const IFF_NO_PI = 0x1000;
const IFREQ_BYTES = 40;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_NEWQDISC = 36;
const RTM_DELQDISC = 37;
const RTM_NEWTFILTER = 44;
const NLM_F_CREATE = 0x400;
const NLM_F_EXCL = 0x200;
const IFLA_MTU = 4;
const TCA_KIND = 1;
const TCA_OPTIONS = 2;
const TC_H_INGRESS = 0xfffffff1;
const INGRESS_HANDLE = 0xffff0000;
const TCA_U32_SEL = 5;
const TCA_U32_ACT = 7;
const TCA_ACT_KIND = 1;
const TCA_ACT_OPTIONS = 2;
const TCA_MIRRED_PARMS = 2;
const TCA_EGRESS_REDIR = 1;
const TC_ACT_STOLEN = 4;
const TC_U32_TERMINAL = 1;
const ETH_P_ALL = 0x0300; // in network order

/**
 * Connect a pod's interface to a tap device in its namespace: each frame that comes for the pod goes to the machine, and each of the machine's out by the
 * interface. Addresses stay where they are, so the namespace looks as its plugin has made it. Again it does nothing. Throws SyscallError. Source:
 * tc-mirred(8), tc-u32(8).
 */
export function connectTap(path: string, { index, mtu }: PodInterface): void {
  inNetworkNamespace(path, () => {
    makeTap();
    using netlink = new Netlink();
    const tap = indexOfTap();
    const up = linkBody(tap, IFF_UP, IFF_UP);
    netlink.request(RTM_NEWLINK, 0, up, [[IFLA_MTU, netlinkWord(mtu)]], `${TAP_NAME}: up`);
    redirect(netlink, index, tap);
    redirect(netlink, tap, index);
  });
}

/** Take the tap device and the redirection away. Harmless where they, or the namespace, are gone. */
export function disconnectTap(path: string): void {
  try {
    const pod = readPodNetwork(path);
    inNetworkNamespace(path, () => {
      using netlink = new Netlink();
      if (pod) dropRedirection(netlink, pod.link.index);
      tolerate(["ENODEV"], () => netlink.request(RTM_DELLINK, 0, linkBody(indexOfTap(), 0, 0), [], TAP_NAME));
    });
  } catch (error) {
    const isGone = error instanceof SyscallError || (error instanceof Error && "code" in error);
    if (!isGone) throw error;
  }
}

/** It persists, and QEMU opens it by its name. */
function makeTap(): void {
  const native = lazyNative();
  const tun = openSync("/dev/net/tun", "r+");
  try {
    native.check("ioctl", [tun, TUNSETIFF, interfaceRequest(IFF_TAP | IFF_NO_PI)], TAP_NAME);
    native.check("ioctl", [tun, TUNSETPERSIST, 1], TAP_NAME);
  } finally {
    closeSync(tun);
  }
}

/** struct ifreq: a name, and for TUNSETIFF flags after it. */
function interfaceRequest(flags: number): Buffer {
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write(TAP_NAME, "latin1");
  request.writeUInt16LE(flags, 16);
  return request;
}

/** By ioctl, because sysfs shows the namespace that it was mounted in. Throws SyscallError with ENODEV. */
function indexOfTap(): number {
  const SIOCGIFINDEX = 0x8933;
  const AF_INET = 2;
  const SOCK_DGRAM = 2;
  const native = lazyNative();
  const socket = native.check("socket", [AF_INET, SOCK_DGRAM, 0]);
  try {
    const request = interfaceRequest(0);
    native.check("ioctl", [socket, SIOCGIFINDEX, request], TAP_NAME);
    return request.readInt32LE(16);
  } finally {
    native.syscall("close", socket);
  }
}

/** All that comes in by one device goes out by the other. */
function redirect(netlink: Netlink, from: number, to: number): void {
  const kind = (name: string): NetlinkAttribute => [TCA_KIND, netlinkText(name)];
  const qdisc = qdiscBody(from, TC_H_INGRESS, INGRESS_HANDLE);
  dropRedirection(netlink, from); // of an attempt that was cut short
  netlink.request(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL, qdisc, [kind("ingress")], "qdisc ingress");
  const filter = qdiscBody(from, INGRESS_HANDLE, 0);
  filter.writeUInt32LE(((1 << 16) | ETH_P_ALL) >>> 0, 16); // priority 1, any protocol
  const action = nest(1, [
    [TCA_ACT_KIND, netlinkText("mirred")],
    nest(TCA_ACT_OPTIONS, [[TCA_MIRRED_PARMS, mirred(to)]]),
  ]);
  const options = nest(TCA_OPTIONS, [[TCA_U32_SEL, matchAll()], nest(TCA_U32_ACT, [action])]);
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  netlink.request(RTM_NEWTFILTER, flags, filter, [kind("u32"), options], "filter u32");
}

function dropRedirection(netlink: Netlink, from: number): void {
  const qdisc = qdiscBody(from, TC_H_INGRESS, INGRESS_HANDLE);
  tolerate(["ENOENT", "ENODEV", "EINVAL"], () => netlink.request(RTM_DELQDISC, 0, qdisc, [], "qdisc ingress"));
}

/** struct tcmsg. */
function qdiscBody(index: number, parent: number, handle: number): Buffer {
  const body = Buffer.alloc(20);
  body.writeInt32LE(index, 4);
  body.writeUInt32LE(handle, 8);
  body.writeUInt32LE(parent, 12);
  return body;
}

/** struct tc_u32_sel with one struct tc_u32_key, whose mask is empty. */
function matchAll(): Buffer {
  const selector = Buffer.alloc(16 + 16);
  selector.writeUInt8(TC_U32_TERMINAL, 0);
  selector.writeUInt8(1, 2);
  return selector;
}

/** struct tc_mirred: index, capab, action, refcnt, bindcnt, eaction, ifindex. */
function mirred(to: number): Buffer {
  const parameters = Buffer.alloc(28);
  parameters.writeInt32LE(TC_ACT_STOLEN, 8);
  parameters.writeInt32LE(TCA_EGRESS_REDIR, 20);
  parameters.writeUInt32LE(to, 24);
  return parameters;
}

function nest(type: number, attributes: readonly NetlinkAttribute[]): NetlinkAttribute {
  return [type, Buffer.concat(attributes.map(encodeAttribute))];
}

function tolerate(errnos: readonly string[], work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof SyscallError) || !errnos.includes(error.errno)) throw error;
  }
}
