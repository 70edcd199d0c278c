import { lazyNative } from "../../syscall/native.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const CLOEXEC = 0o2000000;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** The other end of `sendFd`: a unix socket that takes messages with an fd each. Calls block, so ask only for what was sent. */
export class FdReceiver implements Disposable {
  readonly native = lazyNative();
  readonly #listener: number;

  constructor(path: string) {
    this.#listener = this.native.check("socket", [AF_UNIX, SOCK_STREAM | CLOEXEC, 0]);
    const address = Buffer.alloc(2 + path.length + 1);
    address.writeUInt16LE(AF_UNIX);
    address.write(path, 2);
    this.native.check("bind", [this.#listener, address, address.length]);
    this.native.check("listen", [this.#listener, 8]);
  }

  /** One connection's message. The caller closes the fd. */
  receive(): { readonly text: string; readonly fd: number } {
    const connection = this.native.check("accept4", [this.#listener, null, null, CLOEXEC]);
    const content = Buffer.alloc(65_536);
    const control = Buffer.alloc(64);
    const part = Buffer.alloc(16);
    part.writeBigUInt64LE(this.native.address(content), 0);
    part.writeBigUInt64LE(BigInt(content.length), 8);
    const message = Buffer.alloc(56);
    message.writeBigUInt64LE(this.native.address(part), 16);
    message.writeBigUInt64LE(1n, 24);
    message.writeBigUInt64LE(this.native.address(control), 32);
    message.writeBigUInt64LE(BigInt(control.length), 40);
    const length = this.native.check("recvmsg", [connection, message, MSG_CMSG_CLOEXEC]);
    this.native.check("close", [connection]);
    return { text: content.toString("utf8", 0, length), fd: control.readInt32LE(16) };
  }

  [Symbol.dispose](): void {
    this.native.check("close", [this.#listener]);
  }
}
