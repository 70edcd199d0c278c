import { Code, ManagerError } from "../errors/manager-error.ts";
import { Authorizer } from "./authorizer.ts";
import type { CredentialRequest, Credentials } from "./credentials.ts";
import { type Endpoint, isLoopback } from "./endpoint.ts";
import { type HttpRequest, type HttpResponse, HttpTransport } from "./http-transport.ts";
import { formatReference, type Reference } from "./reference.ts";
import { RegistryError, registryMessage, shownUrl } from "./registry-error.ts";
import type { RetryPolicy } from "./retry.ts";
import { readSmallBody } from "./small-body.ts";

/** What every endpoint of a registry is used with. */
export interface ClientOptions {
  readonly reference: Reference;
  readonly credentials: (request: CredentialRequest) => Promise<Credentials | undefined>;
  /** Header fields for the registry itself: secret as far as we know. */
  readonly headers: Readonly<Record<string, string>>;
  readonly stallMs: number;
  readonly proxyEnv: NodeJS.ProcessEnv | undefined;
  readonly retry: RetryPolicy;
  /** Ends everything. */
  readonly signal: AbortSignal;
}

/** A request before authorization. */
export interface RegistryRequest extends Omit<HttpRequest, "secretHeaders"> {
  /** `repository:NAME:pull`, … */
  readonly scopes: readonly string[];
}

const ERROR_LIMIT_BYTES = 64 << 10;

/** One endpoint, and what it has let us know about who may do what. */
export class EndpointClient implements Disposable {
  readonly endpoint: Endpoint;
  readonly #options: ClientOptions;
  readonly #transport: HttpTransport;
  readonly #authorizer: Authorizer;

  constructor(endpoint: Endpoint, options: ClientOptions) {
    const { stallMs, reference, credentials, retry, signal } = options;
    this.endpoint = endpoint;
    this.#options = options;
    // Like Go's clients: no proxy for this machine, whatever the environment says.
    const proxyEnv = isLoopback(endpoint.url.host) ? undefined : options.proxyEnv;
    this.#transport = new HttpTransport({ stallMs, ca: endpoint.ca, skipVerify: endpoint.skipVerify, proxyEnv });
    this.#authorizer = new Authorizer({
      transport: this.#transport,
      registry: endpoint.url,
      host: endpoint.isMirror ? endpoint.url.host : reference.host, // a mirror has accounts of its own
      reference: formatReference(reference),
      credentials,
      retry,
      signal,
    });
  }

  [Symbol.dispose](): void {
    this.#transport[Symbol.dispose]();
  }

  /** URL of something of the repository: `manifests/latest`. */
  url(path: string): URL {
    const { reference } = this.#options;
    const url = new URL(`${this.endpoint.url.href}/${reference.repository}/${path}`);
    if (this.endpoint.isMirror) url.searchParams.set("ns", reference.host);
    return url;
  }

  /** Whether a URL that the registry gave us is its own: only then our secrets go there. */
  #isOwn(url: URL): boolean {
    return url.origin === this.endpoint.url.origin;
  }

  /**
   * One request, authorized as far as the endpoint asks for it. Resolves with any answer below 400; else RegistryError, with
   * NotFound for a 404. A second 401 in a row is Unauthenticated.
   */
  async request(request: RegistryRequest): Promise<HttpResponse> {
    const { scopes, ...rest } = request;
    const first = this.#isOwn(request.url) ? this.#authorizer.header(scopes) : undefined;
    const response = await this.#send(rest, first);
    if (response.status !== 401 || !this.#isOwn(request.url)) return this.#checked(request, response);
    response.discard();
    const challenge = response.headers["www-authenticate"] ?? "";
    const renewed = await this.#authorizer.renew(challenge, scopes, first);
    return this.#checked(request, await this.#send(rest, renewed));
  }

  #send(request: HttpRequest, authorization: string | undefined): Promise<HttpResponse> {
    const own = this.#isOwn(request.url) && !this.endpoint.isMirror ? this.#options.headers : {};
    const secretHeaders = { ...own, ...(authorization !== undefined && { authorization }) };
    const headers = { "accept-encoding": "identity", ...request.headers };
    return this.#transport.request({ ...request, headers, secretHeaders }, this.#options.signal);
  }

  async #checked(request: RegistryRequest, response: HttpResponse): Promise<HttpResponse> {
    if (response.status >= 200 && response.status < 300) return response;
    const what = `${request.method} ${shownUrl(response.url)}: HTTP status ${response.status}`;
    if (response.status < 400) {
      response.discard();
      throw new ManagerError(Code.FailedPrecondition, `${what} was not expected`);
    }
    const body = request.method === "HEAD" ? Buffer.alloc(0) : await errorBody(response);
    if (request.method === "HEAD") response.discard();
    throw new RegistryError(response.status, what + registryMessage(body), retryAfterMs(response));
  }
}

/** A refusal's own words; that they can't be read does not change the refusal. */
async function errorBody(response: HttpResponse): Promise<Buffer> {
  return readSmallBody(response, ERROR_LIMIT_BYTES, "error").catch(() => Buffer.alloc(0));
}

function retryAfterMs(response: HttpResponse): number | undefined {
  const text = response.headers["retry-after"] ?? "";
  return /^\d{1,6}$/.test(text) ? Number(text) * 1000 : undefined;
}
