import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import type { EndpointClient } from "./endpoint-client.ts";
import type { FetchTarget } from "./fetch.ts";
import type { HttpBody, HttpResponse } from "./http-transport.ts";
import { isKeptAsManifest } from "./manifest-types.ts";
import { RegistryError, shownUrl } from "./registry-error.ts";
import { type RetryPolicy, withRetries } from "./retry.ts";

/** Content that can be read from any byte on, again and again. */
export interface PushSource extends FetchTarget {
  read(offset: number, length: number): AsyncIterable<Uint8Array>;
}

/** Where to, and how patiently. */
export interface PushContext {
  readonly client: EndpointClient;
  readonly repository: string;
  readonly retry: RetryPolicy;
  readonly signal: AbortSignal;
}

/** How a blob got there. */
export type PushOutcome = "uploaded" | "mounted" | "exists";

const CHUNK_BYTES = 16 << 20;

/** What the token must allow; the second repository is where a mount comes from. */
export function pushScopes(repository: string, mountFrom?: string): string[] {
  const own = `repository:${repository}:pull,push`;
  return mountFrom === undefined ? [own] : [own, `repository:${mountFrom}:pull`];
}

/**
 * Bring a blob there, unless it is there: by a mount from another repository of the same registry if one is named, else as one
 * request, or in chunks when the registry (or a proxy before it) refuses that as too large. A broken upload starts anew.
 */
export async function pushBlob(
  source: PushSource,
  mountFrom: string | undefined,
  context: PushContext,
): Promise<PushOutcome> {
  const { client, repository, retry, signal } = context;
  if (await exists(client, `blobs/${source.digest}`, repository)) return "exists";
  return withRetries(retry, signal, async () => {
    const upload = await beginUpload(source, mountFrom, context);
    if (upload === undefined) return "mounted";
    try {
      await uploadWhole(source, upload, context);
    } catch (error) {
      if (!(error instanceof RegistryError) || error.status !== 413) throw error;
      const again = await beginUpload(source, undefined, context);
      if (again !== undefined) await uploadChunks(source, again, context);
    }
    return "uploaded";
  });
}

/** Store a manifest under a tag or its digest; everything it names must be there. */
export async function pushManifest(source: PushSource, name: string, context: PushContext): Promise<void> {
  const { client, repository, retry, signal } = context;
  const response = await withRetries(retry, signal, () =>
    client.request({
      method: "PUT",
      url: client.url(`manifests/${name}`),
      headers: { "content-type": source.mediaType },
      body: bodyOf(source, 0, source.size),
      scopes: pushScopes(repository),
    }),
  );
  requireDigest(response, source.digest);
}

/** Whether the repository has a blob or a manifest. */
async function exists(client: EndpointClient, path: string, repository: string): Promise<boolean> {
  try {
    const response = await client.request({ method: "HEAD", url: client.url(path), scopes: pushScopes(repository) });
    response.discard();
    return true;
  } catch (error) {
    if (hasCode(error, Code.NotFound)) return false;
    throw error;
  }
}

/** Whether the repository has this manifest already. */
export async function hasManifest(target: FetchTarget, context: PushContext): Promise<boolean> {
  return isKeptAsManifest(target.mediaType) && exists(context.client, `manifests/${target.digest}`, context.repository);
}

/** The address to upload to; undefined if the registry has mounted the blob instead. */
async function beginUpload(
  source: PushSource,
  mountFrom: string | undefined,
  { client, repository }: PushContext,
): Promise<HttpResponse | undefined> {
  const url = client.url("blobs/uploads/");
  if (mountFrom !== undefined) {
    url.searchParams.set("mount", source.digest);
    url.searchParams.set("from", mountFrom);
  }
  const headers = { "content-length": "0" };
  const response = await client.request({ method: "POST", url, headers, scopes: pushScopes(repository, mountFrom) });
  response.discard();
  return response.status === 201 && mountFrom !== undefined ? undefined : response;
}

async function uploadWhole(
  source: PushSource,
  upload: HttpResponse,
  { client, repository }: PushContext,
): Promise<void> {
  const url = uploadLocation(upload);
  url.searchParams.set("digest", source.digest);
  const response = await client.request({
    method: "PUT",
    url,
    headers: { "content-type": "application/octet-stream" },
    body: bodyOf(source, 0, source.size),
    scopes: pushScopes(repository),
  });
  requireDigest(response, source.digest);
}

async function uploadChunks(
  source: PushSource,
  upload: HttpResponse,
  { client, repository }: PushContext,
): Promise<void> {
  const chunkBytes = Math.max(CHUNK_BYTES, Number(upload.headers["oci-chunk-min-length"] ?? 0) || 0);
  const scopes = pushScopes(repository);
  let at = upload;
  for (let offset = 0; offset < source.size; offset += chunkBytes) {
    const length = Math.min(chunkBytes, source.size - offset);
    at = await client.request({
      method: "PATCH",
      url: uploadLocation(at),
      headers: { "content-type": "application/octet-stream", "content-range": `${offset}-${offset + length - 1}` },
      body: bodyOf(source, offset, length),
      scopes,
    });
    at.discard();
  }
  const url = uploadLocation(at);
  url.searchParams.set("digest", source.digest);
  const response = await client.request({ method: "PUT", url, headers: { "content-length": "0" }, scopes });
  requireDigest(response, source.digest);
}

function bodyOf(source: PushSource, offset: number, length: number): HttpBody {
  return { sizeBytes: length, chunks: () => source.read(offset, length) };
}

/** Where the upload goes on: relative or absolute, and perhaps at another host, which then gets no secret. */
function uploadLocation(response: HttpResponse): URL {
  const { location } = response.headers;
  const url = location === undefined ? null : URL.parse(location, response.url);
  if (url !== null && /^https?:$/.test(url.protocol)) return url;
  throw new ManagerError(Code.FailedPrecondition, `${shownUrl(response.url)}: no place to upload to in the answer`);
}

function requireDigest(response: HttpResponse, digest: string): void {
  response.discard();
  const stated = response.headers["docker-content-digest"];
  if (stated === undefined || stated === digest) return;
  const message = `${shownUrl(response.url)}: the registry has stored ${JSON.stringify(stated)} instead of ${digest}`;
  throw new ManagerError(Code.DataLoss, message);
}
