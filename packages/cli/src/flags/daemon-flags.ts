import { resolve } from "node:path";
import { parseHttpAddress } from "./parse-http-address.ts";

const path = (brief: string, placeholder: string) =>
  ({ kind: "parsed", parse: (text: string) => resolve(text), brief, placeholder, optional: true }) as const;

/** The flags of `DaemonFlags`, for stricli. */
export const daemonFlags = {
  root: path("images, snapshots, records (default /var/lib/trimaran)", "DIR"),
  state: path("bundles and sockets (default /run/trimaran/manager)", "DIR"),
  address: path("the gRPC socket (default trimaran.sock in the state directory); shims get SOCKET.ttrpc", "SOCKET"),
  metrics: {
    kind: "parsed",
    parse: parseHttpAddress,
    brief: "serve this node's metrics there: 127.0.0.1:PORT, or a socket's path",
    placeholder: "ADDRESS",
    optional: true,
  },
  debug: { kind: "boolean", brief: "log each request, start shims with -debug", optional: true, withNegated: false },
} as const;
