export { AgentConnection } from "./agent/connection.ts";
export type { Guest, GuestProvider, GuestRequest, SharedFiles } from "./pod/guest.ts";
export { KataRuntime } from "./runtime.ts";
