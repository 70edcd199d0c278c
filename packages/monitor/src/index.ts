export { ProtocolError } from "./bytes.ts";
export type { Launch, MonitorLink, ProcessReport, RunResult, SyncReport } from "./monitor-link.ts";
export { type PortHandlers, PortLink } from "./port-link.ts";
export {
  type MonitorHandlers,
  type MonitorServer,
  type StartAnswer,
  type StartRequest,
  serveMonitors,
} from "./server.ts";
