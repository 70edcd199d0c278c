import type { FrameChannel } from "ttrpc-ts";

/** Where conversations with the host come from. A new one ends the one before: there is one host. */
export interface Conversations extends AsyncDisposable {
  /** Called once, when all is ready to serve: no greeting is answered before. */
  begin(onConversation: (channel: FrameChannel) => void): Promise<void>;
}
