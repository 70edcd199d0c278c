import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { digestOf } from "../content/digest.ts";

/** A request as a test wants to see it. */
export interface SeenRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
}

/** Answers a request itself, or returns false to leave it to the registry. `count` counts requests for this path, from 1. */
export type Interceptor = (request: IncomingMessage, response: ServerResponse, count: number) => boolean;

/** A registry in memory that tells the truth, unless its interceptor does not. */
export class FakeRegistry implements AsyncDisposable {
  readonly blobs = new Map<string, Buffer>();
  readonly manifests = new Map<string, { readonly type: string; readonly bytes: Buffer }>();
  readonly seen: SeenRequest[] = [];
  intercept: Interceptor = () => false;
  readonly #uploads = new Map<string, Buffer>();
  readonly #counts = new Map<string, number>();
  readonly #server = createServer((request, response) => {
    this.#serve(request, response).catch((error: Error) => response.destroy(error));
  });

  static async open(): Promise<FakeRegistry> {
    const registry = new FakeRegistry();
    registry.#server.listen(0, "127.0.0.1");
    await once(registry.#server, "listening");
    return registry;
  }

  /** `127.0.0.1:PORT`. */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  /** Store a blob; its digest. */
  addBlob(bytes: Uint8Array | string): { digest: string; size: number } {
    const content = Buffer.from(bytes);
    const digest = digestOf(content);
    this.blobs.set(digest, content);
    return { digest, size: content.length };
  }

  /** Store a manifest under its digest and a tag. */
  addManifest(type: string, document: unknown, tag?: string): { mediaType: string; digest: string; size: number } {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = digestOf(bytes);
    this.manifests.set(digest, { type, bytes });
    if (tag !== undefined) this.manifests.set(tag, { type, bytes });
    return { mediaType: type, digest, size: bytes.length };
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = "", url: path = "", headers } = request;
    this.seen.push({ method, path, headers });
    const url = new URL(path, "http://registry");
    const key = `${method} ${url.pathname}`;
    const count = (this.#counts.get(key) ?? 0) + 1;
    this.#counts.set(key, count);
    if (this.intercept(request, response, count)) return;
    const [, kind = "", name = ""] = /^\/v2\/.+\/(manifests|blobs\/uploads|blobs)\/([^/]*)$/.exec(url.pathname) ?? [];
    if (kind === "blobs/uploads") return this.#upload(request, response, url, name);
    if (method === "PUT" && kind === "manifests") return this.#putManifest(request, response, name);
    const found = kind === "manifests" ? this.manifests.get(name) : blob(this.blobs.get(name));
    if (found === undefined) {
      response.writeHead(404, { "content-type": "application/json" });
      response.end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
      return;
    }
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? "")?.[1] ?? 0);
    const size = found.bytes.length;
    response.writeHead(from > 0 ? 206 : 200, {
      "content-type": found.type,
      "content-length": size - from,
      "docker-content-digest": digestOf(found.bytes),
      ...(from > 0 && { "content-range": `bytes ${from}-${size - 1}/${size}` }),
    });
    response.end(method === "HEAD" ? undefined : found.bytes.subarray(from));
  }

  async #upload(request: IncomingMessage, response: ServerResponse, url: URL, id: string): Promise<void> {
    const mount = url.searchParams.get("mount");
    const body = await readAll(request);
    if (request.method === "POST") {
      if (mount !== null && this.blobs.has(mount)) return void response.writeHead(201).end();
      const fresh = `u${this.#uploads.size}`;
      this.#uploads.set(fresh, Buffer.alloc(0));
      return void response.writeHead(202, { location: `${url.pathname}${fresh}?state=x` }).end();
    }
    const content = Buffer.concat([this.#uploads.get(id) ?? Buffer.alloc(0), body]);
    this.#uploads.set(id, content);
    if (request.method === "PATCH") return void response.writeHead(202, { location: `${url.pathname}?state=y` }).end();
    const digest = url.searchParams.get("digest") ?? "";
    if (digestOf(content) !== digest) return void response.writeHead(400).end();
    this.blobs.set(digest, content);
    response.writeHead(201, { "docker-content-digest": digest }).end();
  }

  async #putManifest(request: IncomingMessage, response: ServerResponse, name: string): Promise<void> {
    const bytes = await readAll(request);
    const manifest = { type: request.headers["content-type"] ?? "", bytes };
    this.manifests.set(name, manifest);
    this.manifests.set(digestOf(bytes), manifest);
    response.writeHead(201, { "docker-content-digest": digestOf(bytes) }).end();
  }
}

function blob(bytes: Buffer | undefined): { type: string; bytes: Buffer } | undefined {
  return bytes === undefined ? undefined : { type: "application/octet-stream", bytes };
}

async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
