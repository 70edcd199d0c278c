export { serveHost } from "./agent.ts";
export type { Conversations } from "./channel/conversations.ts";
export { NoGuest } from "./guest/guest.ts";
