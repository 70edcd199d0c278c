import { O } from "./constants.ts";
import { AS } from "./opcodes.ts";
import type { ProgramBuilder } from "./program.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;
const MSGHDR_SIZE = 56;
const CMSG_SIZE = 24;
const CMSG_LENGTH = 20;

/** Longest path of a unix socket in bytes, without its NUL. */
export const MAX_SOCKET_PATH = 107;

/**
 * Steps, for the monitor, that connect to a unix socket and send it a text with the fd of a slot, as runc sends terminals and seccomp
 * listeners. Nothing blocks: a listener that takes nobody is EAGAIN. The path must have at most MAX_SOCKET_PATH bytes, the text 1 to 64 KiB.
 */
export function sendFd(b: ProgramBuilder, slot: number, path: string, text: string): void {
  const socket = b.call("socket", [AF_UNIX, SOCK_STREAM | O.CLOEXEC | O.NONBLOCK, 0]);
  const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1);
  address.writeUInt16LE(AF_UNIX);
  address.write(path, 2);
  b.sys("connect", [socket, b.data.bytes(address), address.length]);
  const content = b.data.bytes(Buffer.from(text));
  const part = b.data.words([0, Buffer.byteLength(text)]);
  b.data.point(part, content);
  const control = b.data.space(CMSG_SIZE);
  const head = Buffer.alloc(CMSG_LENGTH - 4);
  head.writeBigUInt64LE(BigInt(CMSG_LENGTH));
  head.writeInt32LE(SOL_SOCKET, 8);
  head.writeInt32LE(SCM_RIGHTS, 12);
  b.data.write(control, head);
  b.op("STORE", [{ kind: "slot", index: slot }, control.offset + CMSG_LENGTH - 4, AS.i32]);
  const message = b.data.space(MSGHDR_SIZE);
  const words = Buffer.alloc(MSGHDR_SIZE);
  words.writeBigUInt64LE(1n, 24); // one part
  words.writeBigUInt64LE(BigInt(CMSG_SIZE), 40);
  b.data.write(message, words);
  b.data.point({ kind: "data", offset: message.offset + 16 }, part);
  b.data.point({ kind: "data", offset: message.offset + 32 }, control);
  b.sys("sendmsg", [socket, message, MSG_NOSIGNAL]);
  b.sys("close", [socket]);
  b.release(socket);
}
