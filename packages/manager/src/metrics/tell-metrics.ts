import { join } from "node:path";
import { METRICS_SOCKET, type MetricsReport } from "@trimaran/proto";
import { listenOnSocket } from "../grpc/unix-socket.ts";

/** Tell everyone who connects to `metrics.sock` what there is to tell, as task servers do. */
export function tellMetrics(directory: string, report: () => MetricsReport): Promise<AsyncDisposable> {
  return listenOnSocket(join(directory, METRICS_SOCKET), (socket) => {
    socket.on("error", () => undefined); // the reader is gone
    socket.end(JSON.stringify(report()));
  });
}
