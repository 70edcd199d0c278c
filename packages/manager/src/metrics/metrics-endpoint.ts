import { EXPOSITION_TYPE, expositionText } from "@trimaran/proto";
import { type HttpAddress, type HttpServer, serveHttp } from "../http/serve-http.ts";
import { gatherMetrics } from "./gather-metrics.ts";

/** Where the task servers of this node have their directories, unless TRIMARAN_STATE says otherwise to them and us. */
export const TASK_SERVERS = "/run/trimaran";

/** Prometheus' text of this node: of the task servers below a directory, and of daemons by their state directories. */
export async function nodeMetrics(taskServers: string, daemons: readonly string[]): Promise<string> {
  return expositionText(await gatherMetrics([taskServers], daemons));
}

/** Serve `nodeMetrics` at /metrics. It names containerd's namespaces and sockets, no container. */
export function serveNodeMetrics(
  address: HttpAddress,
  taskServers: string,
  daemons: readonly string[],
): Promise<HttpServer> {
  return serveHttp(address, async ({ path }) => {
    if (path !== "/metrics") return { status: 404, type: "text/plain", body: "only /metrics\n" };
    return { status: 200, type: EXPOSITION_TYPE, body: await nodeMetrics(taskServers, daemons) };
  });
}
