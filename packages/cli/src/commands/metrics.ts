import { DEFAULT_DIRECTORIES } from "@trimaran/manager";
import { type HttpAddress, nodeMetrics, serveNodeMetrics, TASK_SERVERS } from "@trimaran/manager/metrics";
import { command } from "../report-error.ts";

export interface MetricsFlags {
  /** Undefined: print them once. */
  readonly listen?: HttpAddress;
  /** Of a daemon that is to be asked as well. */
  readonly state?: string;
}

/** `trimaran metrics`. */
export const metrics = command<MetricsFlags, []>("metrics", async (context, { listen, state }) => {
  const { environment, process, signals } = context;
  const taskServers = environment.TRIMARAN_STATE ?? TASK_SERVERS;
  const daemons = [state ?? environment.TRIMARAN_MANAGER_STATE ?? DEFAULT_DIRECTORIES.state];
  if (listen === undefined) {
    process.stdout.write(await nodeMetrics(taskServers, daemons));
    return 0;
  }
  const stop = Promise.withResolvers<unknown>();
  using _listening = signals.listen(["SIGTERM", "SIGINT"], stop.resolve);
  await using server = await serveNodeMetrics(listen, taskServers, daemons);
  process.stdout.write(`${server.url}${"path" in listen ? "" : "/metrics"}\n`);
  await stop.promise;
  return 0;
});
