import { Code, ManagerError, messageOf } from "../errors/manager-error.ts";

/** An answer of a registry that is not what was asked for. The message has no query and no header: both may hold secrets. */
export class RegistryError extends ManagerError {
  readonly status: number;
  /** How long the registry wants us to wait, if it says so. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, message: string, retryAfterMs?: number) {
    super(codeOf(status), message);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

/** The server was silent for too long. */
export class StallError extends ManagerError {
  constructor(what: string, stallMs: number) {
    super(Code.Unavailable, `${what}: no byte for ${stallMs} ms`);
  }
}

/** A URL as an error may show it: without user, query and fragment. Signed URLs carry their secret in the query. */
export function shownUrl(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`;
}

function codeOf(status: number): Code {
  if (status === 401) return Code.Unauthenticated;
  if (status === 403) return Code.PermissionDenied;
  if (status === 404) return Code.NotFound;
  if (status === 429) return Code.ResourceExhausted;
  if (status === 408 || status >= 500) return Code.Unavailable;
  return Code.FailedPrecondition;
}

const TEXT_LIMIT = 300;

/** What a registry says in its own error document, one line of it. Source: OCI distribution spec, "Error Codes". */
export function registryMessage(body: Buffer): string {
  try {
    const document: unknown = JSON.parse(body.toString("utf8"));
    if (typeof document !== "object" || document === null || !("errors" in document)) return "";
    const first: unknown = Array.isArray(document.errors) ? document.errors[0] : undefined;
    if (typeof first !== "object" || first === null) return "";
    const code = "code" in first && typeof first.code === "string" ? first.code : "";
    const message = "message" in first && typeof first.message === "string" ? first.message : "";
    const text = [code, message].filter((part) => part !== "").join(": ");
    return text === "" ? "" : ` (${JSON.stringify(text.slice(0, TEXT_LIMIT)).slice(1, -1)})`;
  } catch {
    return "";
  }
}

/** A connection that could not be made, or that broke. */
export class ConnectionError extends ManagerError {
  /** `ECONNRESET`, or OpenSSL's name of what is wrong with a certificate. */
  readonly errno: string;

  constructor(what: string, errno: string, cause: unknown) {
    super(Code.Unavailable, `${what}: ${messageOf(cause)}`, { cause });
    this.errno = errno;
  }
}
