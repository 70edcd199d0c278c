import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { channelFromStream, type FrameChannel } from "ttrpc-ts";
import { answerGreeting } from "./conversation.ts";

/** Where conversations with the host come from. Each new one ends the one before: there is one host. */
export interface Conversations extends AsyncDisposable {
  onConversation: (channel: FrameChannel) => void;
}

/** A unix socket instead of a port, for an agent that is a plain process. Resolves once it listens. */
export async function listenForHost(path: string): Promise<Conversations> {
  const open = new Set<Socket>();
  let current: FrameChannel | undefined;
  const conversations: Conversations = {
    onConversation: () => undefined,
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
  const server = createServer((socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
    socket.on("error", () => undefined); // "close" follows
    void answerGreeting(socket).then((greeted) => {
      if (!greeted) return;
      current?.close();
      current = channelFromStream(greeted);
      conversations.onConversation(current);
      greeted.resume(); // it was paused until somebody listens
    });
  });
  server.listen(path);
  await once(server, "listening");
  return conversations;
}
