import { Code, ManagerError } from "../errors/manager-error.ts";
import type { EndpointClient } from "./endpoint-client.ts";
import type { HttpResponse } from "./http-transport.ts";
import { isKeptAsManifest } from "./manifest-types.ts";
import { ConnectionError, shownUrl } from "./registry-error.ts";
import { backOff, isTransient, type RetryPolicy } from "./retry.ts";

/** What is fetched: so many bytes under a digest, as somebody trustworthy has said. */
export interface FetchTarget {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** From where, and how patiently. */
export interface FetchContext {
  /** In the order to try them. */
  readonly clients: readonly EndpointClient[];
  readonly scopes: readonly string[];
  readonly retry: RetryPolicy;
  readonly signal: AbortSignal;
}

/** So many bytes make up for a failure; with fewer a server could keep us for ever. */
const PROGRESS_BYTES = 64 << 10;

/**
 * The content from `offset` on, up to exactly `size` bytes; a broken transfer goes on where it stopped, at the next endpoint if
 * need be. The caller checks the digest. Throws DataLoss for a wrong length, NotFound, RegistryError, ConnectionError.
 */
export async function* fetchContent(
  target: FetchTarget,
  offset: number,
  context: FetchContext,
): AsyncGenerator<Uint8Array, void> {
  const { retry, signal } = context;
  let position = offset;
  let failures = 0;
  while (position < target.size) {
    const begin = position;
    try {
      for await (const chunk of readFrom(target, position, context)) {
        position += chunk.length;
        yield chunk;
      }
    } catch (error) {
      failures = position - begin >= PROGRESS_BYTES ? 1 : failures + 1;
      if (signal.aborted || !isTransient(error) || failures >= retry.attempts) throw error;
      await backOff(retry, failures, error, signal);
    }
  }
}

async function* readFrom(target: FetchTarget, offset: number, context: FetchContext): AsyncGenerator<Uint8Array, void> {
  const response = await openFirst(target, offset, context);
  const what = `${target.digest} from ${shownUrl(response.url)}`;
  let skip = skipBytes(response, target, offset, what);
  let left = target.size - offset;
  for await (const chunk of response.body()) {
    const part = chunk.subarray(Math.min(skip, chunk.length));
    skip -= chunk.length - part.length;
    if (part.length > left) throw lengthError(what, `more than ${target.size} bytes`);
    left -= part.length;
    if (part.length > 0) yield part;
    if (left === 0) return;
  }
  const at = target.size - left;
  throw new ConnectionError(what, "ECONNRESET", new Error(`ends after ${at} of ${target.size} bytes`));
}

/** The answer of the first endpoint that has it. The first error counts: the other endpoints are only a help. */
async function openFirst(target: FetchTarget, offset: number, context: FetchContext): Promise<HttpResponse> {
  const path = `${isKeptAsManifest(target.mediaType) ? "manifests" : "blobs"}/${target.digest}`;
  const headers = {
    accept: `${target.mediaType}, */*`,
    ...(offset > 0 && { range: `bytes=${offset}-` }),
  };
  let first: unknown;
  for (const client of context.clients) {
    try {
      return await client.request({ method: "GET", url: client.url(path), headers, scopes: context.scopes });
    } catch (error) {
      if (context.signal.aborted) throw error;
      first ??= error;
    }
  }
  throw first ?? new ManagerError(Code.FailedPrecondition, `${target.digest}: no endpoint may be used for a pull`);
}

/** How many bytes of the body are in front of `offset`: a server need not know ranges. Throws DataLoss. */
function skipBytes(response: HttpResponse, target: FetchTarget, offset: number, what: string): number {
  try {
    if (response.status === 206) {
      const [, from, total] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers["content-range"] ?? "") ?? [];
      if (Number(from) !== offset) throw lengthError(what, `bytes from ${from} on instead of ${offset}`);
      if (total !== "*" && Number(total) !== target.size)
        throw lengthError(what, `${total} bytes instead of ${target.size}`);
      return 0;
    }
    const length = response.headers["content-length"];
    if (length !== undefined && Number(length) !== target.size)
      throw lengthError(what, `${length} bytes instead of ${target.size}`);
    return offset;
  } catch (error) {
    response.discard();
    throw error;
  }
}

function lengthError(what: string, found: string): ManagerError {
  return new ManagerError(Code.DataLoss, `${what}: the registry sends ${found}`);
}
