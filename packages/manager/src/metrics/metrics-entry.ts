export {
  type HttpAddress,
  type HttpAnswer,
  type HttpRequest,
  type HttpServer,
  parseLoopback,
  serveHttp,
} from "../http/serve-http.ts";
export { gatherMetrics } from "./gather-metrics.ts";
export { nodeMetrics, serveNodeMetrics, TASK_SERVERS } from "./metrics-endpoint.ts";
