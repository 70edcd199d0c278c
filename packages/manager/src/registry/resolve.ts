import { digestOf, isDigest } from "../content/digest.ts";
import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import type { EndpointClient } from "./endpoint-client.ts";
import type { FetchContext, FetchTarget } from "./fetch.ts";
import type { HttpResponse } from "./http-transport.ts";
import { MANIFEST_TYPES } from "./manifest-types.ts";
import { formatReference, manifestName, type Reference } from "./reference.ts";
import { shownUrl } from "./registry-error.ts";
import { withRetries } from "./retry.ts";
import { readSmallBody } from "./small-body.ts";

/** Manifests are small; registries refuse longer ones, too. */
const MANIFEST_LIMIT_BYTES = 8 << 20;
const HEADERS = { accept: [...MANIFEST_TYPES, "*/*"].join(", ") };

/**
 * What a name means now. HEAD, and GET where HEAD does not say enough. A name with a digest gets exactly that, or DataLoss.
 * Throws NotFound when no endpoint has it; the first other error when one failed otherwise.
 */
export async function resolveReference(reference: Reference, context: FetchContext): Promise<FetchTarget> {
  const path = `manifests/${manifestName(reference)}`;
  let first: unknown;
  for (const client of context.clients) {
    try {
      const target = await withRetries(context.retry, context.signal, () => resolveAt(client, path, context));
      if (reference.digest === undefined || reference.digest === target.digest) return target;
      throw new ManagerError(Code.DataLoss, `${formatReference(reference)}: the registry has ${target.digest} there`);
    } catch (error) {
      if (context.signal.aborted) throw error;
      if (first === undefined || hasCode(first, Code.NotFound)) first = error;
    }
  }
  if (first === undefined || hasCode(first, Code.NotFound)) {
    throw new ManagerError(Code.NotFound, `${formatReference(reference)}: not found`, { cause: first });
  }
  throw first;
}

async function resolveAt(client: EndpointClient, path: string, context: FetchContext): Promise<FetchTarget> {
  const url = client.url(path);
  const { scopes } = context;
  const head = await client.request({ method: "HEAD", url, headers: HEADERS, scopes }).catch((error: unknown) => {
    // Some servers know no HEAD; the code is that of 405 and 501.
    if (hasCode(error, Code.FailedPrecondition)) return undefined;
    throw error;
  });
  head?.discard();
  const target = head === undefined ? undefined : statedTarget(head);
  if (target !== undefined) return target;
  const response = await client.request({ method: "GET", url, headers: HEADERS, scopes });
  const what = `manifest from ${shownUrl(response.url)}`;
  const body = await readSmallBody(response, MANIFEST_LIMIT_BYTES, what);
  const mediaType = contentType(response);
  if (mediaType === undefined) throw new ManagerError(Code.FailedPrecondition, `${what}: no content type`);
  return { mediaType, digest: digestOf(body), size: body.length };
}

function statedTarget(response: HttpResponse): FetchTarget | undefined {
  const digest = response.headers["docker-content-digest"];
  const size = Number(response.headers["content-length"] ?? Number.NaN);
  const mediaType = contentType(response);
  if (typeof digest !== "string" || !isDigest(digest) || mediaType === undefined) return undefined;
  if (!Number.isSafeInteger(size) || size <= 0) return undefined;
  if (size > MANIFEST_LIMIT_BYTES) {
    throw new ManagerError(Code.ResourceExhausted, `${shownUrl(response.url)}: a manifest of ${size} bytes`);
  }
  return { mediaType, digest, size };
}

function contentType(response: HttpResponse): string | undefined {
  const type = response.headers["content-type"]?.split(";")[0]?.trim();
  return type === undefined || type === "" ? undefined : type;
}
