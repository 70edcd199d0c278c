import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { channelFromStream, type FrameChannel } from "ttrpc-ts";
import { answerGreeting } from "./conversation.ts";
import type { Conversations } from "./conversations.ts";

/** A unix socket instead of a port, for an agent that is a plain process. */
export class ListeningSocket implements Conversations {
  readonly #path: string;
  readonly #open = new Set<Socket>();
  #server: Server | undefined;
  #current: FrameChannel | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async begin(onConversation: (channel: FrameChannel) => void): Promise<void> {
    this.#server = createServer((socket) => void this.#converse(socket, onConversation));
    this.#server.listen(this.#path);
    await once(this.#server, "listening");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    await new Promise<void>((resolve) => (this.#server ? this.#server.close(() => resolve()) : resolve()));
  }

  async #converse(socket: Socket, onConversation: (channel: FrameChannel) => void): Promise<void> {
    this.#open.add(socket);
    socket.once("close", () => this.#open.delete(socket));
    socket.on("error", () => undefined); // "close" follows
    if (!(await answerGreeting(socket))) return;
    this.#current?.close();
    this.#current = channelFromStream(socket);
    onConversation(this.#current);
    socket.resume(); // it was paused until somebody listens
  }
}
