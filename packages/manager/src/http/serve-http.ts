import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIPv6 } from "node:net";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { listenOnSocket } from "../grpc/unix-socket.ts";

/** Where to serve: a unix socket of mode 0660, or a port of a loopback address; 0 is a free one. */
export type HttpAddress = { readonly path: string } | { readonly host: string; readonly port: number };

/** A GET of a path, with its query taken off. */
export interface HttpRequest {
  readonly path: string;
  readonly query: URLSearchParams;
  /** Of the Authorization header, empty without one. */
  readonly authorization: string;
}

/** `headers` come besides those that every answer has. */
export interface HttpAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Disposing closes the listener and all connections. */
export interface HttpServer extends AsyncDisposable {
  /** `http://127.0.0.1:PORT`; the path of a unix socket. */
  readonly url: string;
}

const LOOPBACK = /^(127(\.\d{1,3}){3}|\[?::1\]?|localhost)$/;
const PORT_LIMIT = 65535;
/** Of a connection on which nothing happens. */
const SILENCE_LIMIT_MS = 30_000;
/** Node looks after slow requests by a timer of the whole server; ours is one of each connection, and none while idle. */
const NEVER_MS = 2 ** 31 - 1;

/** On every answer: nothing is kept, framed, sniffed or taken along to another site. */
const COMMON_HEADERS = {
  "Cache-Control": "no-store",
  "X-Content-Type-Options": "nosniff",
  "X-Frame-Options": "DENY",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cross-Origin-Opener-Policy": "same-origin",
};

/** `127.0.0.1:9090`, `[::1]:0`. Throws InvalidArgument for what other machines could reach. */
export function parseLoopback(text: string): { readonly host: string; readonly port: number } {
  const [, host = "", digits = ""] = /^(.*):(\d{1,5})$/.exec(text) ?? [];
  const port = Number(digits);
  if (LOOPBACK.test(host) && digits !== "" && port <= PORT_LIMIT) return { host: host.replaceAll(/[[\]]/g, ""), port };
  throw new ManagerError(
    Code.InvalidArgument,
    `${JSON.stringify(text)}: not a loopback address and port, as 127.0.0.1:9464`,
  );
}

/**
 * Serve GET and HEAD to this machine. A page of another site reaches loopback as well, by a name of its own that it makes lead here
 * (DNS rebinding) or by plain links, so Host must be ours, and Origin and Sec-Fetch-Site too where a browser sends them.
 */
export async function serveHttp(
  address: HttpAddress,
  answer: (request: HttpRequest) => Promise<HttpAnswer>,
): Promise<HttpServer> {
  const server = createServer({ connectionsCheckingInterval: NEVER_MS });
  server.setTimeout(SILENCE_LIMIT_MS);
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    void respond(request, response, "path" in address ? undefined : portOf(server), answer);
  });
  if ("path" in address) {
    const listener = await listenOnSocket(address.path, (socket) => void server.emit("connection", socket));
    return {
      url: address.path,
      [Symbol.asyncDispose]: async () => {
        await listener[Symbol.asyncDispose]();
        server.closeAllConnections();
      },
    };
  }
  server.listen(address.port, address.host);
  await once(server, "listening"); // rejects on "error"
  return {
    url: `http://${isIPv6(address.host) ? `[${address.host}]` : address.host}:${portOf(server)}`,
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  port: number | undefined,
  answer: (request: HttpRequest) => Promise<HttpAnswer>,
): Promise<void> {
  const { status, type, body, headers } = await decide(request, port, answer);
  const length = typeof body === "string" ? Buffer.byteLength(body) : body.length;
  response.writeHead(status, { ...COMMON_HEADERS, ...headers, "Content-Type": type, "Content-Length": length });
  response.end(request.method === "HEAD" ? undefined : body);
}

async function decide(
  request: IncomingMessage,
  port: number | undefined,
  answer: (request: HttpRequest) => Promise<HttpAnswer>,
): Promise<HttpAnswer> {
  if (request.method !== "GET" && request.method !== "HEAD") return refusal(405, "only GET");
  if (port !== undefined && !isOurs(request, port)) return refusal(403, "not from here");
  const url = URL.parse(request.url ?? "", "http://localhost");
  if (url === null) return refusal(400, "no path");
  try {
    return await answer({
      path: url.pathname,
      query: url.searchParams,
      authorization: request.headers.authorization ?? "",
    });
  } catch (error) {
    return refusal(error instanceof ManagerError ? 404 : 500, error instanceof Error ? error.message : String(error));
  }
}

function isOurs({ headers }: IncomingMessage, port: number): boolean {
  const host = new RegExp(`^(.*):${port}$`).exec(headers.host ?? "")?.[1] ?? "";
  const { origin } = headers;
  const site = headers["sec-fetch-site"];
  return (
    LOOPBACK.test(host) &&
    (origin === undefined || origin === `http://${headers.host}`) &&
    (site === undefined || site === "same-origin" || site === "none")
  );
}

function refusal(status: number, why: string): HttpAnswer {
  return { status, type: "text/plain; charset=utf-8", body: `${why}\n` };
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
