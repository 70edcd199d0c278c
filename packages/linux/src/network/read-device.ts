import { InvalidSpec } from "../spec/invalid-spec.ts";
import type { NetDevice } from "../spec/net-devices.ts";
import type { Native } from "../syscall/native.ts";
import {
  addressBody,
  encodeMessage,
  IFA,
  IFLA,
  linkBody,
  type Message,
  NLM,
  NLMSG,
  parseAttributes,
  parseMessages,
  RTM,
  text,
} from "./netlink.ts";

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

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const CLOEXEC = 0o2000000;
const BUFFER_BYTES = 65_536;
const GLOBAL_SCOPE = 0;
const PERMANENT = 0x80;
const ADDRESS_STRUCT_BYTES = 8;

/** Look interfaces of our own network namespace up. One that is not there is left out, or with `missing: "throw"` an InvalidSpec. */
export function readDevices(native: Native, devices: readonly NetDevice[], missing: "skip" | "throw"): FoundDevice[] {
  if (devices.length === 0) return [];
  const socket = native.check("socket", [AF_NETLINK, SOCK_RAW | CLOEXEC, 0]);
  try {
    return devices.flatMap((device) => {
      const index = findIndex(native, socket, device);
      if (index !== undefined) return [{ ...device, index, addresses: readAddresses(native, socket, index) }];
      if (missing === "throw") throw new InvalidSpec(device.field, "no such interface");
      return [];
    });
  } finally {
    native.syscall("close", socket);
  }
}

function findIndex(native: Native, socket: number, { hostName }: NetDevice): number | undefined {
  const name = { type: IFLA.name, value: text(hostName) };
  send(native, socket, encodeMessage(RTM.getLink, NLM.request, linkBody(0, 0, 0), [name]));
  return receive(native, socket)
    .find(({ type }) => type === RTM.newLink)
    ?.body.readInt32LE(4);
}

/** The kernel tells all addresses of all interfaces, in as many messages as it needs. */
function readAddresses(native: Native, socket: number, index: number): Address[] {
  send(native, socket, encodeMessage(RTM.getAddress, NLM.request | NLM.dump, addressBody(0, 0, 0), []));
  const found: Address[] = [];
  for (;;) {
    for (const { type, body } of receive(native, socket)) {
      if (type === NLMSG.done || type === NLMSG.error) return found;
      const address = toAddress(body, index);
      if (address !== undefined) found.push(address);
    }
  }
}

/** Undefined for one of another interface, and for what the kernel or a lease will make again or take away. */
function toAddress(body: Buffer, index: number): Address | undefined {
  const [family = 0, prefix = 0, flags = 0, scope = 0] = body;
  const attributes = parseAttributes(body, ADDRESS_STRUCT_BYTES);
  const allFlags = attributes.get(IFA.flags)?.readUInt32LE(0) ?? flags;
  const bytes = attributes.get(IFA.local) ?? attributes.get(IFA.address);
  if (bytes === undefined || body.readUInt32LE(4) !== index) return undefined;
  if (scope !== GLOBAL_SCOPE || (allFlags & PERMANENT) === 0) return undefined;
  const broadcast = attributes.get(IFA.broadcast);
  return { family, prefix, bytes: Uint8Array.from(bytes), broadcast: broadcast && Uint8Array.from(broadcast) };
}

function send(native: Native, socket: number, message: Buffer): void {
  native.check("sendto", [socket, message, message.length, 0, null, 0]);
}

function receive(native: Native, socket: number): Message[] {
  const buffer = Buffer.alloc(BUFFER_BYTES);
  const length = native.check("recvfrom", [socket, buffer, buffer.length, 0, null, null]);
  return [...parseMessages(buffer.subarray(0, length))];
}
