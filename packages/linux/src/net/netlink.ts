import { SyscallError } from "../syscall/errno.ts";
import { lazyNative } from "../syscall/native.ts";

// linux/netlink.h, asm-generic/socket.h
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const HEADER_BYTES = 16;
const ANSWER_BYTES = 64 * 1024;

/** One attribute: its type and value. */
export type NetlinkAttribute = readonly [type: number, value: Uint8Array];

/** One object of a dump: its fixed part and its attributes, by type. */
export interface NetlinkObject {
  readonly body: Buffer;
  readonly attributes: ReadonlyMap<number, Buffer>;
}

/** rtnetlink: requests that the kernel answers with an errno, within the call. Of the network namespace that it is opened in. Source: rtnetlink(7). */
export class Netlink implements Disposable {
  readonly #native = lazyNative();
  readonly #fd: number;
  #sequence = 0;

  constructor() {
    this.#fd = this.#native.check("socket", [AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE]);
  }

  /** One request. `what` names it in the SyscallError that is thrown where the kernel refuses. */
  request(type: number, flags: number, body: Uint8Array, attributes: readonly NetlinkAttribute[], what: string): void {
    this.#send(type, NLM_F_ACK | flags, Buffer.concat([body, ...attributes.map(encodeAttribute)]), what);
    for (const message of split(this.#receive(what))) throwIfError(message, what);
  }

  /** All objects of a kind. `bodyBytes`: length of their fixed part, which the request has too, all zeros. */
  dump(type: number, bodyBytes: number, what: string): NetlinkObject[] {
    this.#send(type, NLM_F_DUMP, Buffer.alloc(bodyBytes), what);
    const found: NetlinkObject[] = [];
    for (;;) {
      for (const message of split(this.#receive(what))) {
        throwIfError(message, what);
        if (message.readUInt16LE(4) === NLMSG_DONE) return found;
        const end = HEADER_BYTES + bodyBytes;
        found.push({ body: message.subarray(HEADER_BYTES, end), attributes: decodeAttributes(message.subarray(end)) });
      }
    }
  }

  [Symbol.dispose](): void {
    this.#native.syscall("close", this.#fd);
  }

  #send(type: number, flags: number, payload: Uint8Array, what: string): void {
    const message = Buffer.concat([Buffer.alloc(HEADER_BYTES), payload]);
    message.writeUInt32LE(message.length, 0);
    message.writeUInt16LE(type, 4);
    message.writeUInt16LE(NLM_F_REQUEST | flags, 6);
    message.writeUInt32LE(++this.#sequence, 8);
    this.#native.check("sendto", [this.#fd, message, message.length, 0, null, 0], what);
  }

  #receive(what: string): Buffer {
    const answer = Buffer.alloc(ANSWER_BYTES);
    const length = this.#native.check("recvfrom", [this.#fd, answer, answer.length, 0, null, null], what);
    return answer.subarray(0, length);
  }
}

/** An attribute's bytes; nested ones are values of others. */
export function encodeAttribute([type, value]: NetlinkAttribute): Buffer {
  const length = 4 + value.length;
  const bytes = Buffer.alloc((length + 3) & ~3);
  bytes.writeUInt16LE(length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, 4);
  return bytes;
}

/** Attributes by type; what is malformed at the end is left out. */
export function decodeAttributes(bytes: Buffer): Map<number, Buffer> {
  const NESTED = 0x8000;
  const found = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) break;
    found.set(bytes.readUInt16LE(at + 2) & ~NESTED, bytes.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return found;
}

function* split(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (length < HEADER_BYTES || at + length > bytes.length) return;
    yield bytes.subarray(at, at + length);
    at += (length + 3) & ~3;
  }
}

function throwIfError(message: Buffer, what: string): void {
  if (message.readUInt16LE(4) !== NLMSG_ERROR) return;
  const error = message.readInt32LE(HEADER_BYTES);
  if (error !== 0) throw new SyscallError(-error, "sendto", what);
}
