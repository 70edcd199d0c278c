export { serveHost } from "./agent.ts";
export type { Conversations } from "./channel/socket.ts";
export { NoGuest } from "./guest/guest.ts";
