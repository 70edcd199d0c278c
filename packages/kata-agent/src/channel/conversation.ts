import type { Duplex } from "node:stream";
import { GreetingFinder, greetingReply } from "@trimaran/proto";

/**
 * Wait for the host's greeting, answer it, and give the stream back with what came after it. Undefined where the stream has ended before. What
 * came before the greeting belongs to an earlier conversation, and is dropped.
 */
export function answerGreeting<Stream extends Duplex>(stream: Stream): Promise<Stream | undefined> {
  const finder = new GreetingFinder("host");
  return new Promise((resolve) => {
    const settle = (result: Stream | undefined): void => {
      stream.off("data", read).off("close", ended).off("end", ended).off("error", ended);
      resolve(result);
    };
    const ended = (): void => settle(undefined);
    const read = (chunk: Uint8Array): void => {
      const found = finder.push(chunk);
      if (!found) return;
      stream.pause();
      if (found.rest.length > 0) stream.unshift(found.rest);
      stream.write(greetingReply(found.nonce));
      settle(stream);
    };
    stream.on("data", read).once("close", ended).once("end", ended).once("error", ended);
  });
}
