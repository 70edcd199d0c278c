/** Route netlink messages, as linux/netlink.h, rtnetlink.h, if_link.h and if_addr.h have them; little endian, as both our architectures are. */

export const RTM = { newLink: 16, getLink: 18, newAddress: 20, getAddress: 22 } as const;
export const NLM = { request: 1, ack: 4, dump: 0x300, create: 0x400, exclusive: 0x200 } as const;
export const NLMSG = { error: 2, done: 3 } as const;
export const IFLA = { name: 3, netNsPid: 19 } as const;
export const IFA = { address: 1, local: 2, broadcast: 4, flags: 8 } as const;
export const IFF_UP = 1;
/** A flag of an attribute's type: its value is attributes. */
const NESTED = 0x8000;
/** Where a message's own struct begins, and where its index is in there: the same for links and addresses. */
export const HEADER_BYTES = 16;
export const INDEX_OFFSET = HEADER_BYTES + 4;
/** struct ifinfomsg, struct ifaddrmsg. */
export const LINK_BYTES = 16;
export const ADDRESS_BYTES = 8;

/** An attribute: its type, and its value. */
export type Attribute = readonly [type: number, value: Uint8Array];

/** A message: header, `body`, attributes. */
export function encodeMessage(type: number, flags: number, body: Uint8Array, attributes: readonly Attribute[]): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  const all = Buffer.concat([head, body, ...attributes.map(encodeAttribute)]);
  all.writeUInt32LE(all.length);
  all.writeUInt16LE(type, 4);
  all.writeUInt16LE(flags, 6);
  all.writeUInt32LE(1, 8); // sequence
  return all;
}

/** An attribute's bytes; the value of one that nests others is theirs. */
export function encodeAttribute([type, value]: Attribute): Buffer {
  const part = Buffer.alloc((4 + value.length + 3) & ~3);
  part.writeUInt16LE(4 + value.length);
  part.writeUInt16LE(type, 2);
  part.set(value, 4);
  return part;
}

/** struct ifinfomsg. */
export function linkBody(index: number, flags: number, change: number): Buffer {
  const body = Buffer.alloc(LINK_BYTES);
  body.writeInt32LE(index, 4);
  body.writeUInt32LE(flags, 8);
  body.writeUInt32LE(change, 12);
  return body;
}

/** struct ifaddrmsg. */
export function addressBody(family: number, prefix: number, index: number): Buffer {
  const body = Buffer.alloc(ADDRESS_BYTES);
  body[0] = family;
  body[1] = prefix;
  body.writeUInt32LE(index, 4);
  return body;
}

/** A name, with its NUL. */
export function text(value: string): Buffer {
  return Buffer.from(`${value}\0`);
}

/** 32 bits. */
export function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

/** One message of an answer. `body` is the struct's bytes and the attributes'. */
export interface Message {
  readonly type: number;
  readonly body: Buffer;
}

/** The messages of what one read gave. */
export function* parseMessages(bytes: Buffer): Generator<Message> {
  for (let at = 0; at + HEADER_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    if (length < HEADER_BYTES || at + length > bytes.length) return;
    yield { type: bytes.readUInt16LE(at + 4), body: bytes.subarray(at + HEADER_BYTES, at + length) };
    at += (length + 3) & ~3;
  }
}

/** Attributes behind a struct, by type; what is malformed at the end is left out. */
export function parseAttributes(body: Buffer, structBytes: number): ReadonlyMap<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = structBytes; at + 4 <= body.length; ) {
    const length = body.readUInt16LE(at);
    if (length < 4 || at + length > body.length) break;
    found.set(body.readUInt16LE(at + 2) & ~NESTED, body.subarray(at + 4, at + length));
    at += (length + 3) & ~3;
  }
  return found;
}
