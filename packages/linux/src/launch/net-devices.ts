import {
  type Attribute,
  addressBody,
  encodeMessage,
  HEADER_BYTES,
  IFA,
  IFF_UP,
  IFLA,
  INDEX_OFFSET,
  linkBody,
  NLM,
  RTM,
  text,
  word,
} from "../network/netlink.ts";
import type { Address, FoundDevice } from "../network/read-device.ts";
import { fail } from "./child.ts";
import { O } from "./constants.ts";
import { AS, SYNC_CODE } from "./opcodes.ts";
import type { InitPlan } from "./plan.ts";
import type { Operand, ProgramBuilder, Register } from "./program.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const AF_INET = 2;
const SOCK_DGRAM = 2;
const SIOCGIFINDEX = 0x8933;
const IFREQ_BYTES = 40;
const IFREQ_INDEX_OFFSET = 16;
const ANSWER_BYTES = 4096;

/**
 * In the monitor, which has the host's network: move the interfaces to the namespace of process `pid`, under their new names, in one message
 * each. The kernel takes them down by that, and their addresses away.
 */
export function moveDevices(b: ProgramBuilder, devices: readonly FoundDevice[], pid: number): void {
  const socket = b.call("socket", [AF_NETLINK, SOCK_RAW | O.CLOEXEC, 0]);
  for (const { field, name, index } of devices) {
    b.field = field;
    const attributes: Attribute[] = [
      [IFLA.netNsPid, word(pid)],
      [IFLA.name, text(name)],
    ];
    const message = encodeMessage(RTM.newLink, NLM.request | NLM.ack, linkBody(index, 0, IFF_UP), attributes);
    request(b, socket, b.data.bytes(message), message.length, "move interface");
  }
  b.sys("close", [socket]);
  b.release(socket);
}

/** In the container's network namespace: have the interfaces moved here, give them their addresses back, bring them up. */
export function takeDevices(b: ProgramBuilder, { netDevices = [] }: InitPlan): void {
  if (netDevices.length === 0) return;
  for (const { field, name } of netDevices) refuseTaken(b, field, name);
  b.field = "linux.netDevices";
  b.op("SYNC", [SYNC_CODE.NETWORK, 0, -1, 255, b.data.string(""), 0], { action: "move interfaces" });
  const socket = b.call("socket", [AF_NETLINK, SOCK_RAW | O.CLOEXEC, 0]);
  for (const { field, name, addresses } of netDevices) {
    b.field = field;
    const index = findIndex(b, name);
    for (const address of addresses) {
      const flags = NLM.request | NLM.ack | NLM.create | NLM.exclusive;
      const body = addressBody(address.family, address.prefix, 0);
      withIndex(b, socket, encodeMessage(RTM.newAddress, flags, body, attributesOf(address)), index, "add address");
    }
    const up = encodeMessage(RTM.newLink, NLM.request | NLM.ack, linkBody(0, IFF_UP, IFF_UP), []);
    withIndex(b, socket, up, index, "bring interface up");
    b.release(index);
  }
  b.sys("close", [socket]);
  b.release(socket);
}

function attributesOf({ bytes, broadcast }: Address): Attribute[] {
  const own = [IFA.local, IFA.address].map((type): Attribute => [type, bytes]);
  return broadcast === undefined ? own : [...own, [IFA.broadcast, broadcast]];
}

/** The kernel moves first and renames then: an interface whose new name is taken would be gone from the host, and lost with the container. */
function refuseTaken(b: ProgramBuilder, field: string, name: string): void {
  b.field = field;
  const { found } = askIndex(b, name, ["ENODEV"]);
  fail(b, "name is free");
  b.skipOnError(found);
}

/** The number that it has here: the old one may have been taken. */
function findIndex(b: ProgramBuilder, name: string): Register {
  const { place } = askIndex(b, name, []);
  const index = b.register();
  b.op("LOAD", [place.offset + IFREQ_INDEX_OFFSET, AS.i32], { to: index, action: "find interface" });
  return index;
}

function askIndex(b: ProgramBuilder, name: string, tolerate: readonly string[]) {
  const socket = b.call("socket", [AF_INET, SOCK_DGRAM | O.CLOEXEC, 0]);
  const query = new Uint8Array(IFREQ_BYTES);
  query.set(Buffer.from(name));
  const place = b.data.bytes(query);
  b.release(socket); // closed with the others, before the program
  const found = b.sys("ioctl", [socket, SIOCGIFINDEX, place], { tolerate, action: "find interface" });
  return { place, found };
}

function withIndex(b: ProgramBuilder, socket: Operand, message: Uint8Array, index: Register, action: string): void {
  const place = b.data.bytes(message);
  b.op("STORE", [index, place.offset + INDEX_OFFSET, AS.i32]);
  request(b, socket, place, message.length, action);
}

/** Send, and read the kernel's verdict: an error number, negative, or 0. */
function request(b: ProgramBuilder, socket: Operand, message: Operand, length: number, action: string): void {
  b.sys("sendto", [socket, message, length, 0, 0, 0], { action });
  const answer = b.data.space(ANSWER_BYTES);
  b.sys("recvfrom", [socket, answer, ANSWER_BYTES, 0, 0, 0], { action });
  const verdict = b.register();
  b.op("LOAD", [answer.offset + HEADER_BYTES, AS.i32], { to: verdict, action });
  b.release(verdict);
}
