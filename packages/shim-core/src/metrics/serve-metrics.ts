import { rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { METRICS_SOCKET, type MetricsReport } from "@trimaran/proto";

/** Tell everyone who connects what there is to tell, as JSON, and hang up. An open socket is all that it costs. Only its owner may connect. */
export function serveMetrics(directory: string, report: () => MetricsReport): Disposable {
  const path = join(directory, METRICS_SOCKET);
  rmSync(path, { force: true });
  const server = createServer((socket) => {
    socket.on("error", () => undefined); // the reader is gone
    socket.end(JSON.stringify(report()));
  });
  server.on("error", () => undefined); // shims work without
  const mask = process.umask(0o177); // bound before `listen` returns
  server.listen(path);
  process.umask(mask);
  return {
    [Symbol.dispose]: () => {
      server.close();
      rmSync(path, { force: true });
    },
  };
}
