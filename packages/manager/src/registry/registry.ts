import { Code, ManagerError } from "../errors/manager-error.ts";
import { ANONYMOUS, type CredentialSource } from "./credentials.ts";
import type { Capability } from "./endpoint.ts";
import { EndpointClient } from "./endpoint-client.ts";
import { type FetchContext, type FetchTarget, fetchContent } from "./fetch.ts";
import { readEndpoints } from "./hosts-toml.ts";
import { hasManifest, type PushContext, type PushOutcome, type PushSource, pushBlob, pushManifest } from "./push.ts";
import { manifestName, type Reference } from "./reference.ts";
import { resolveReference } from "./resolve.ts";
import type { RetryPolicy } from "./retry.ts";

/** What a registry is opened with. */
export interface RegistryOptions {
  readonly reference: Reference;
  /** Ends all that goes on. */
  readonly signal: AbortSignal;
  /** Folder of `HOST/hosts.toml` files. Default: none, only the registry itself. */
  readonly hostDirectory?: string | undefined;
  /** Default: https, but http for loopback. */
  readonly scheme?: "http" | "https" | undefined;
  /** Header fields for the registry's own requests. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Default: nobody's. */
  readonly credentials?: CredentialSource | undefined;
  /** An environment with HTTP_PROXY, HTTPS_PROXY, NO_PROXY; loopback needs no proxy. Default: none. */
  readonly proxyEnv?: NodeJS.ProcessEnv | undefined;
  /** The longest silence. Default: 30 s. */
  readonly stallMs?: number | undefined;
  /** Default: 5 tries, from 200 ms on. */
  readonly retry?: RetryPolicy | undefined;
}

const STALL_MS = 30_000;
const RETRY: RetryPolicy = { attempts: 5, backoffMs: 200 };

/** One repository of a registry, through its mirrors where there are some. */
export class Registry implements Disposable {
  readonly reference: Reference;
  readonly #clients: readonly EndpointClient[];
  readonly #retry: RetryPolicy;
  readonly #signal: AbortSignal;

  private constructor(clients: readonly EndpointClient[], retry: RetryPolicy, options: RegistryOptions) {
    this.reference = options.reference;
    this.#clients = clients;
    this.#retry = retry;
    this.#signal = options.signal;
  }

  /** Reads hosts.toml; connects to nothing yet. Throws InvalidArgument. */
  static async open(options: RegistryOptions): Promise<Registry> {
    const { reference, signal, hostDirectory, scheme } = options;
    const endpoints = await readEndpoints(reference.host, hostDirectory, scheme);
    const source = options.credentials ?? ANONYMOUS;
    const retry = options.retry ?? RETRY;
    const shared = {
      reference,
      credentials: (request: Parameters<CredentialSource>[0]) => source(request, signal),
      headers: options.headers ?? {},
      stallMs: options.stallMs ?? STALL_MS,
      proxyEnv: options.proxyEnv,
      retry,
      signal,
    };
    return new Registry(
      endpoints.map((endpoint) => new EndpointClient(endpoint, shared)),
      retry,
      options,
    );
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client[Symbol.dispose]();
  }

  /** What the reference means now. Throws NotFound, Unauthenticated, PermissionDenied, … */
  resolve(): Promise<FetchTarget> {
    return resolveReference(this.reference, this.#fetchContext("resolve"));
  }

  /** Content from a byte on. The caller verifies the digest; the length is right, or the stream throws. */
  fetch(target: FetchTarget, offset = 0): AsyncGenerator<Uint8Array, void> {
    return fetchContent(target, offset, this.#fetchContext("pull"));
  }

  pushBlob(source: PushSource, mountFrom?: string): Promise<PushOutcome> {
    return pushBlob(source, mountFrom, this.#pushContext());
  }

  /** Under its digest, and if `tagged` under the reference's tag. */
  async pushManifest(source: PushSource, tagged: boolean): Promise<PushOutcome> {
    const context = this.#pushContext();
    if (!tagged && (await hasManifest(source, context))) return "exists";
    const name = tagged ? (this.reference.tag ?? manifestName(this.reference)) : source.digest;
    await pushManifest(source, name, context);
    return "uploaded";
  }

  #fetchContext(capability: Capability): FetchContext {
    return {
      clients: this.#clients.filter(({ endpoint }) => endpoint.capabilities.has(capability)),
      scopes: [`repository:${this.reference.repository}:pull`],
      retry: this.#retry,
      signal: this.#signal,
    };
  }

  #pushContext(): PushContext {
    const client = this.#clients.find(({ endpoint }) => endpoint.capabilities.has("push"));
    if (client === undefined) {
      throw new ManagerError(Code.FailedPrecondition, `registry ${this.reference.host}: no endpoint may be pushed to`);
    }
    return { client, repository: this.reference.repository, retry: this.#retry, signal: this.#signal };
  }
}
