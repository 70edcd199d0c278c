import { Code, ManagerError } from "../errors/manager-error.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import type { CredentialRequest, Credentials } from "./credentials.ts";
import type { HttpTransport } from "./http-transport.ts";
import { type RetryPolicy, withRetries } from "./retry.ts";
import { basicHeader, fetchToken } from "./token.ts";

/** What an authorizer works with. */
export interface AuthorizerOptions {
  readonly transport: HttpTransport;
  /** The endpoint's URL. */
  readonly registry: URL;
  /** Whose credentials are asked for: the host in the image's name, and the name. */
  readonly host: string;
  readonly reference: string;
  readonly credentials: (request: CredentialRequest) => Promise<Credentials | undefined>;
  readonly retry: RetryPolicy;
  readonly signal: AbortSignal;
}

interface Known {
  readonly header: string;
  /** By the monotonic clock. */
  readonly expiresAtMs: number;
}

/** Give a token up a little early: it has a way to go. */
const MARGIN_MS = 5_000;

/** The Authorization headers of one endpoint: none until it asks, then what it asks for, per scope, until that expires. */
export class Authorizer {
  readonly #options: AuthorizerOptions;
  readonly #known = new Map<string, Known>();
  readonly #running = new Map<string, Promise<string>>();
  #credentials: Promise<Credentials | undefined> | undefined;

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  /** What to send with a request in these scopes, as far as is known. */
  header(scopes: readonly string[]): string | undefined {
    const known = this.#known.get(scopes.join(" "));
    return known !== undefined && known.expiresAtMs > performance.now() ? known.header : undefined;
  }

  /**
   * What to send after a 401 to a request that had `sent`. Many requests that were refused at the same time get one token.
   * Throws Unauthenticated if nothing can be done.
   */
  async renew(challengeHeader: string, scopes: readonly string[], sent: string | undefined): Promise<string> {
    const key = scopes.join(" ");
    const known = this.header(scopes);
    if (known !== undefined && known !== sent) return known;
    const running = this.#running.get(key) ?? this.#obtain(challengeHeader, scopes, key);
    this.#running.set(key, running);
    try {
      return await running;
    } finally {
      this.#running.delete(key);
    }
  }

  async #obtain(challengeHeader: string, scopes: readonly string[], key: string): Promise<string> {
    const challenges = parseChallenges(challengeHeader);
    const bearer = challenges.find(({ scheme }) => scheme === "bearer");
    const basic = challenges.find(({ scheme }) => scheme === "basic");
    if (bearer === undefined && basic === undefined)
      throw this.#refused("it offers no way to authenticate that we know");
    const { host, reference } = this.#options;
    this.#credentials ??= this.#options.credentials({ host, reference, challenges: [challengeHeader] });
    const credentials = await this.#credentials;
    const known = await this.#answer(bearer, credentials, scopes);
    this.#known.set(key, known);
    return known.header;
  }

  async #answer(
    bearer: Challenge | undefined,
    credentials: Credentials | undefined,
    scopes: readonly string[],
  ): Promise<Known> {
    if (credentials?.kind === "header") return { header: credentials.value, expiresAtMs: Number.POSITIVE_INFINITY };
    if (bearer !== undefined) return this.#token(bearer, credentials, scopes);
    if (credentials?.kind !== "password") throw this.#refused("it wants a user name and a password");
    return { header: basicHeader(credentials), expiresAtMs: Number.POSITIVE_INFINITY };
  }

  async #token(bearer: Challenge, credentials: Credentials | undefined, scopes: readonly string[]): Promise<Known> {
    const { transport, registry, retry, signal } = this.#options;
    const wanted = [...new Set([...scopes, ...(bearer.parameters.get("scope")?.split(" ") ?? [])])].sort();
    const token = await withRetries(retry, signal, () =>
      fetchToken(transport, registry, bearer, wanted, credentials, signal),
    );
    return { header: `Bearer ${token.value}`, expiresAtMs: performance.now() + token.lifetimeMs - MARGIN_MS };
  }

  #refused(why: string): ManagerError {
    return new ManagerError(Code.Unauthenticated, `registry ${this.#options.registry.host}: ${why}`);
  }
}
