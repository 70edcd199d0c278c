import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Challenge } from "./challenge.ts";
import type { Credentials } from "./credentials.ts";
import type { HttpRequest, HttpTransport } from "./http-transport.ts";
import { RegistryError, shownUrl } from "./registry-error.ts";
import { readSmallBody } from "./small-body.ts";

/** A token and how long it is good for, from now. */
export interface Token {
  readonly value: string;
  readonly lifetimeMs: number;
}

const DEFAULT_LIFETIME_S = 60; // the token specification's
const LIMIT_BYTES = 1 << 20;

/**
 * Get a bearer token as a challenge describes. A password goes to the token server in a Basic header, a refresh token in a
 * form; neither leaves https for http. Throws RegistryError (Unauthenticated when refused), FailedPrecondition.
 * Source: distribution, "Token Authentication Specification" and "OAuth2".
 */
export async function fetchToken(
  transport: HttpTransport,
  registry: URL,
  challenge: Challenge,
  scopes: readonly string[],
  credentials: Credentials | undefined,
  signal: AbortSignal,
): Promise<Token> {
  const realm = parseRealm(challenge, registry);
  const service = challenge.parameters.get("service");
  const request =
    credentials?.kind === "refresh"
      ? refreshRequest(realm, service, scopes, credentials.token)
      : tokenRequest(realm, service, scopes, credentials);
  const response = await transport.request(request, signal);
  const body = await readSmallBody(response, LIMIT_BYTES, `token from ${shownUrl(realm)}`);
  // A refused anonymous request, too, is about who asks.
  const status = response.status === 400 || response.status === 403 ? 401 : response.status;
  if (status !== 200) throw new RegistryError(status, `token from ${shownUrl(realm)}: HTTP status ${response.status}`);
  return parseToken(body, realm);
}

function tokenRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly string[],
  credentials: Credentials | undefined,
): HttpRequest {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set("service", service);
  for (const scope of scopes) url.searchParams.append("scope", scope);
  if (credentials?.kind !== "password") return { method: "GET", url };
  return { method: "GET", url, secretHeaders: { authorization: basicHeader(credentials) } };
}

function refreshRequest(
  realm: URL,
  service: string | undefined,
  scopes: readonly string[],
  refreshToken: string,
): HttpRequest {
  const form = new URLSearchParams({
    grant_type: "refresh_token",
    client_id: "trimaran",
    refresh_token: refreshToken,
    scope: scopes.join(" "),
  });
  if (service !== undefined) form.set("service", service);
  const bytes = Buffer.from(form.toString());
  return {
    method: "POST",
    url: realm,
    headers: { "content-type": "application/x-www-form-urlencoded" },
    body: {
      sizeBytes: bytes.length,
      chunks: async function* () {
        yield bytes;
      },
    },
    keepBodyAtOrigin: true,
  };
}

/** The value of an Authorization header. */
export function basicHeader({ username, secret }: { readonly username: string; readonly secret: string }): string {
  return `Basic ${Buffer.from(`${username}:${secret}`).toString("base64")}`;
}

function parseRealm(challenge: Challenge, registry: URL): URL {
  const text = challenge.parameters.get("realm") ?? "";
  const realm = URL.parse(text);
  if (realm === null || !/^https?:$/.test(realm.protocol) || realm.username !== "") {
    throw refused(registry, "its token server's address is not a URL");
  }
  if (registry.protocol === "https:" && realm.protocol !== "https:") {
    throw refused(registry, `its token server ${shownUrl(realm)} has no TLS`);
  }
  return realm;
}

function parseToken(body: Buffer, realm: URL): Token {
  let document: unknown;
  try {
    document = JSON.parse(body.toString("utf8"));
  } catch {
    throw refused(realm, "the answer is not JSON");
  }
  const fields: Record<string, unknown> = typeof document === "object" && document !== null ? { ...document } : {};
  const value = [fields.token, fields.access_token].find((each) => typeof each === "string" && each !== "");
  if (typeof value !== "string" || /[^\x21-\x7e]/.test(value)) throw refused(realm, "no token in the answer");
  const seconds = typeof fields.expires_in === "number" ? fields.expires_in : DEFAULT_LIFETIME_S;
  return { value, lifetimeMs: Math.max(seconds, DEFAULT_LIFETIME_S) * 1000 };
}

function refused(url: URL, why: string): ManagerError {
  return new ManagerError(Code.FailedPrecondition, `${shownUrl(url)}: ${why}`);
}
