import { lazyNative, SyscallError } from "@trimaran/linux";

// linux/netlink.h, asm-generic/socket.h
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLMSG_ERROR = 2;
const HEADER_BYTES = 16;
const ANSWER_BYTES = 8192;

/** One attribute: its type and value. */
export type Attribute = readonly [type: number, value: Uint8Array];

/** rtnetlink: requests that the kernel answers with an errno, within the call. Source: rtnetlink(7). */
export class Netlink implements Disposable {
  readonly #native = lazyNative();
  readonly #fd: number;
  #sequence = 0;

  constructor() {
    this.#fd = this.#native.check("socket", [AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE]);
  }

  /** One request. `what` names it in the SyscallError that is thrown where the kernel refuses. */
  request(type: number, flags: number, body: Uint8Array, attributes: readonly Attribute[], what: string): void {
    const message = Buffer.concat([Buffer.alloc(HEADER_BYTES), body, ...attributes.map(encode)]);
    message.writeUInt32LE(message.length, 0);
    message.writeUInt16LE(type, 4);
    message.writeUInt16LE(NLM_F_REQUEST | NLM_F_ACK | flags, 6);
    message.writeUInt32LE(++this.#sequence, 8);
    this.#native.check("sendto", [this.#fd, message, message.length, 0, null, 0], what);
    const answer = Buffer.alloc(ANSWER_BYTES);
    const length = this.#native.check("recvfrom", [this.#fd, answer, answer.length, 0, null, null], what);
    if (length < HEADER_BYTES + 4 || answer.readUInt16LE(4) !== NLMSG_ERROR) return;
    const error = answer.readInt32LE(HEADER_BYTES);
    if (error !== 0) throw new SyscallError(-error, "sendto", what);
  }

  [Symbol.dispose](): void {
    this.#native.syscall("close", this.#fd);
  }
}

function encode([type, value]: Attribute): Buffer {
  const length = 4 + value.length;
  const bytes = Buffer.alloc((length + 3) & ~3);
  bytes.writeUInt16LE(length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, 4);
  return bytes;
}
