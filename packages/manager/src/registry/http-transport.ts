import { once } from "node:events";
import * as http from "node:http";
import * as https from "node:https";
import { rootCertificates } from "node:tls";
import { Code, errnoOf, ManagerError } from "../errors/manager-error.ts";
import { ConnectionError, StallError, shownUrl } from "./registry-error.ts";
import { StallTimer } from "./stall-timer.ts";

/** A body that can be sent again, after a redirect. */
export interface HttpBody {
  readonly sizeBytes: number;
  chunks(): AsyncIterable<Uint8Array>;
}

/** One request, redirects included. */
export interface HttpRequest {
  readonly method: "GET" | "HEAD" | "POST" | "PUT" | "PATCH";
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent to the origin of `url` and to no other. */
  readonly secretHeaders?: Readonly<Record<string, string>>;
  readonly body?: HttpBody;
  /** The body is a secret, too: a redirect that would take it to another origin is an error. */
  readonly keepBodyAtOrigin?: boolean;
}

/** An answer; whoever has it reads the body to its end or discards it. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  /** Where it came from in the end. */
  readonly url: URL;
  /** The content, once. Throws StallError and ConnectionError; an early return closes the connection. */
  body(): AsyncGenerator<Uint8Array, void>;
  discard(): void;
}

/** How to talk to one endpoint. */
export interface TransportOptions {
  /** The longest silence of the other side, in each phase of a request. */
  readonly stallMs: number;
  /** Certificates in PEM that count besides the usual ones. */
  readonly ca?: readonly string[];
  /** Do not check the certificate of the origin that was asked for (others' are checked). */
  readonly skipVerify?: boolean;
  /** HTTP_PROXY, HTTPS_PROXY and NO_PROXY, in upper or lower case, as in an environment. Default: no proxy. */
  readonly proxyEnv?: NodeJS.ProcessEnv | undefined;
}

const REDIRECT_LIMIT = 10;

/** HTTP/1.1 with kept connections, a limit on silence, and redirects that carry no secret to another origin. */
export class HttpTransport implements Disposable {
  readonly #options: TransportOptions;
  readonly #plain: http.Agent;
  readonly #secure: https.Agent;

  constructor(options: TransportOptions) {
    this.#options = options;
    const ca = options.ca === undefined ? {} : { ca: [...rootCertificates, ...options.ca] };
    const proxy = options.proxyEnv === undefined ? {} : { proxyEnv: options.proxyEnv };
    this.#plain = new http.Agent({ keepAlive: true, ...proxy });
    this.#secure = new https.Agent({ keepAlive: true, ...ca, ...proxy });
  }

  [Symbol.dispose](): void {
    this.#plain.destroy();
    this.#secure.destroy();
  }

  /** Resolves with the first answer that is no redirect, whatever its status. Throws ConnectionError, StallError. */
  async request(request: HttpRequest, signal: AbortSignal): Promise<HttpResponse> {
    let { url, method, body } = request;
    for (let hops = 0; ; hops++) {
      const sameOrigin = url.origin === request.url.origin;
      const secret = sameOrigin ? request.secretHeaders : {};
      const headers = { ...request.headers, ...secret };
      const response = await this.#send({ method, url, headers, ...(body && { body }) }, sameOrigin, signal);
      const target = redirectTarget(response, method);
      if (target === undefined) return response;
      response.discard();
      if (hops === REDIRECT_LIMIT) throw refused(request.url, `more than ${REDIRECT_LIMIT} redirects`);
      if (url.protocol === "https:" && target.protocol !== "https:") {
        throw refused(url, `a redirect away from https, to ${shownUrl(target)}`);
      }
      if (request.keepBodyAtOrigin === true && target.origin !== request.url.origin) {
        throw refused(url, `a redirect of a secret to ${shownUrl(target)}`);
      }
      if (response.status === 303 && method !== "HEAD") {
        method = "GET";
        body = undefined;
      }
      url = target;
    }
  }

  async #send(request: HttpRequest, sameOrigin: boolean, signal: AbortSignal): Promise<HttpResponse> {
    const { url, method, headers, body } = request;
    const what = `${method} ${shownUrl(url)}`;
    const secure = url.protocol === "https:";
    const outgoing = (secure ? https : http).request(url, {
      method,
      headers: { "user-agent": "trimaran", ...headers, ...(body && { "content-length": body.sizeBytes }) },
      agent: secure ? this.#secure : this.#plain,
      rejectUnauthorized: !(this.#options.skipVerify === true && sameOrigin),
      signal,
    });
    const stall = new StallTimer(this.#options.stallMs, () =>
      outgoing.destroy(new StallError(what, this.#options.stallMs)),
    );
    outgoing.on("error", () => {}); // once the answer has begun, its body's reader gets the error
    const answered = new AbortController();
    try {
      const response = once(outgoing, "response", { signal: answered.signal }) as Promise<[http.IncomingMessage]>;
      stall.arm();
      if (body === undefined) outgoing.end();
      else pump(outgoing, body, stall, answered.signal).catch((error: Error) => outgoing.destroy(error));
      const [incoming] = await response;
      return toResponse(incoming, outgoing, url, what, this.#options.stallMs);
    } catch (error) {
      outgoing.destroy();
      throw toConnectionError(what, error, signal);
    } finally {
      stall.disarm();
      answered.abort();
    }
  }
}

/** Send the body at the speed of the other side. Ends early, without an error, once an answer is there. */
async function pump(
  outgoing: http.ClientRequest,
  body: HttpBody,
  stall: StallTimer,
  answered: AbortSignal,
): Promise<void> {
  try {
    stall.disarm();
    for await (const chunk of body.chunks()) {
      if (answered.aborted || outgoing.destroyed) return;
      if (outgoing.write(chunk)) continue;
      stall.arm();
      await once(outgoing, "drain", { signal: answered });
      stall.disarm();
    }
    if (answered.aborted) return;
    stall.arm();
    outgoing.end();
  } catch (error) {
    if (!answered.aborted) throw error;
  }
}

function toResponse(
  incoming: http.IncomingMessage,
  outgoing: http.ClientRequest,
  url: URL,
  what: string,
  stallMs: number,
): HttpResponse {
  const discard = () => {
    // A short rest is cheaper to read than a new connection; anything else is cut off.
    if (outgoing.writableFinished && Number(incoming.headers["content-length"] ?? Number.NaN) < 65536)
      incoming.resume();
    else outgoing.destroy();
  };
  const body = async function* (): AsyncGenerator<Uint8Array, void> {
    const stall = new StallTimer(stallMs, () => incoming.destroy(new StallError(what, stallMs)));
    const chunks = incoming.iterator({ destroyOnReturn: true });
    try {
      for (;;) {
        stall.arm();
        const next = await chunks.next();
        stall.disarm();
        if (next.done) break;
        yield next.value;
      }
    } catch (error) {
      throw toConnectionError(what, error, undefined);
    } finally {
      stall.disarm();
      if (!incoming.readableEnded || !outgoing.writableFinished) outgoing.destroy();
    }
  };
  incoming.on("error", () => {}); // a discarded body may still break
  return { status: incoming.statusCode ?? 0, headers: incoming.headers, url, body, discard };
}

function redirectTarget(response: HttpResponse, method: string): URL | undefined {
  const follow = method === "GET" || method === "HEAD" ? [301, 302, 303, 307, 308] : [307, 308];
  if (!follow.includes(response.status)) return undefined;
  const location = response.headers.location ?? "";
  const target = URL.parse(location, response.url);
  if (location !== "" && target !== null && /^https?:$/.test(target.protocol)) return target;
  response.discard();
  throw refused(response.url, "a redirect to nowhere");
}

function refused(url: URL, why: string): ManagerError {
  return new ManagerError(Code.FailedPrecondition, `${shownUrl(url)}: ${why}`);
}

/** Network trouble as a ConnectionError; what is an error of ours already, and the caller's own abort, stay what they are. */
function toConnectionError(what: string, error: unknown, signal: AbortSignal | undefined): unknown {
  if (error instanceof ManagerError || signal?.aborted === true) return error;
  const errno = errnoOf(error);
  if (errno === undefined || errno === "ABORT_ERR") return error;
  return new ConnectionError(what, errno, error);
}
