import { SyscallError } from "../syscall/errno.ts";
import { lazyNative } from "../syscall/native.ts";
import { type Attribute, encodeMessage, type Message, NLM, NLMSG, parseAttributes, parseMessages } from "./netlink.ts";

// asm-generic/socket.h
const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const NETLINK_ROUTE = 0;
const ANSWER_BYTES = 64 * 1024;

/** One object of a dump: its fixed part and its attributes, by type. */
export interface NetlinkObject {
  readonly body: Buffer;
  readonly attributes: ReadonlyMap<number, Buffer>;
}

/** rtnetlink: requests that the kernel answers with an errno, within the call. Of the network namespace that it is opened in. Source: rtnetlink(7). */
export class Netlink implements Disposable {
  readonly #native = lazyNative();
  readonly #fd: number;

  constructor() {
    this.#fd = this.#native.check("socket", [AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE]);
  }

  /** One request. `what` names it in the SyscallError that is thrown where the kernel refuses. */
  request(type: number, flags: number, body: Uint8Array, attributes: readonly Attribute[], what: string): void {
    this.#send(encodeMessage(type, NLM.request | NLM.ack | flags, body, attributes), what);
    for (const message of this.#receive(what)) throwIfError(message, what);
  }

  /** All objects of a kind. `bodyBytes`: length of their fixed part, which the request has too, all zeros. */
  dump(type: number, bodyBytes: number, what: string): NetlinkObject[] {
    this.#send(encodeMessage(type, NLM.request | NLM.dump, Buffer.alloc(bodyBytes), []), what);
    const found: NetlinkObject[] = [];
    for (;;) {
      for (const message of this.#receive(what)) {
        throwIfError(message, what);
        if (message.type === NLMSG.done) return found;
        const { body } = message;
        found.push({ body: body.subarray(0, bodyBytes), attributes: parseAttributes(body, bodyBytes) });
      }
    }
  }

  [Symbol.dispose](): void {
    this.#native.syscall("close", this.#fd);
  }

  #send(message: Buffer, what: string): void {
    this.#native.check("sendto", [this.#fd, message, message.length, 0, null, 0], what);
  }

  #receive(what: string): Message[] {
    const answer = Buffer.alloc(ANSWER_BYTES);
    const length = this.#native.check("recvfrom", [this.#fd, answer, answer.length, 0, null, null], what);
    return [...parseMessages(answer.subarray(0, length))];
  }
}

function throwIfError({ type, body }: Message, what: string): void {
  if (type !== NLMSG.error) return;
  const error = body.readInt32LE(0);
  if (error !== 0) throw new SyscallError(-error, "sendto", what);
}
