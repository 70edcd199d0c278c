import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { GreetingFinder, greeting, NONCE_BYTES } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";

/** Until the guest has read the greeting and answered it, however busy it is. A shorter one is worse than none: each try begins anew for the guest, too. */
const ANSWER_LIMIT_MS = 20_000;
/** What an earlier conversation may have left in the port. An agent that sends more without an answer lies. */
const OLD_BYTES_LIMIT = 64 << 20;

/**
 * Connect to the agent's socket and begin a conversation: what is left of an earlier one is dropped. The socket is paused, at the first byte of this
 * conversation. Rejects with Unavailable where nobody listens or answers in time; with DataLoss on too many bytes that are no answer.
 */
export function greetAgent(path: string): Promise<Socket> {
  const nonce = randomBytes(NONCE_BYTES);
  let finder = new GreetingFinder("agent");
  let dropped = 0;
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    const settle = (): void => {
      clearTimeout(timer);
      socket.off("data", read).off("error", failed).off("close", closed);
    };
    const fail = (code: Code, why: string): void => {
      settle();
      socket.on("error", () => undefined).destroy(); // an error after the first says nothing new
      reject(new StatusError(code, `agent: ${why}`));
    };
    const failed = (error: Error): void => fail(Code.Unavailable, error.message);
    const closed = (): void => fail(Code.Unavailable, "closed the connection");
    const timer = setTimeout(() => fail(Code.Unavailable, `no answer in ${ANSWER_LIMIT_MS} ms`), ANSWER_LIMIT_MS);
    const read = (chunk: Uint8Array): void => {
      for (let found = finder.push(chunk); found; found = finder.push(found.rest)) {
        finder = new GreetingFinder("agent");
        if (!nonce.equals(found.nonce)) continue; // an answer to an earlier greeting
        settle();
        socket.pause();
        if (found.rest.length > 0) socket.unshift(found.rest);
        resolve(socket);
        return;
      }
      dropped += chunk.length;
      if (dropped > OLD_BYTES_LIMIT) fail(Code.DataLoss, `sent ${dropped} bytes that are no answer`);
    };
    socket.once("connect", () => socket.write(greeting(nonce)));
    socket.on("data", read).once("error", failed).once("close", closed);
  });
}
