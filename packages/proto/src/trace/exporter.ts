import { unixOffsetNs } from "./clock.ts";
import { encodeOtlp } from "./otlp.ts";
import type { OtlpSettings } from "./otlp-settings.ts";
import type { Span } from "./span.ts";

/** Sends one request; resolves with the HTTP status, or rejects. */
export type Post = (settings: OtlpSettings, body: string) => Promise<number>;

/**
 * Spans on their way to a collector. Taking them costs a push to a list; they leave in batches, in the background, on one connection at a
 * time. What is too much, or does not arrive, is dropped and counted: a call is neither delayed nor failed by it.
 */
export class OtlpExporter {
  /** Spans that no collector got. */
  dropped = 0;
  readonly #settings: OtlpSettings;
  readonly #version: string;
  readonly #post: Post;
  #queue: Span[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> | undefined;

  constructor(settings: OtlpSettings, version: string, post: Post = postJson) {
    this.#settings = settings;
    this.#version = version;
    this.#post = post;
  }

  add(spans: readonly Span[]): void {
    const room = Math.max(0, this.#settings.queueLimit - this.#queue.length);
    this.#queue.push(...spans.slice(0, room));
    this.dropped += Math.max(0, spans.length - room);
    if (this.#queue.length === 0) return;
    if (this.#queue.length >= this.#settings.batchLimit) void this.#send();
    else this.#timer ??= setTimeout(() => this.#due(), this.#settings.delayMs).unref();
  }

  /** Send what waits; resolves when it is gone, and within `limitMs` whatever happens. Never rejects. */
  async flush(limitMs: number): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, limitMs);
    await Promise.race([this.#send(), late]);
    clearTimeout(timer);
  }

  /** If a batch is on its way, whoever sends it takes what waits as well. */
  #due(): void {
    this.#timer = undefined;
    void this.#send();
  }

  #send(): Promise<void> {
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined;
    });
    return this.#sending;
  }

  async #sendAll(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    while (this.#queue.length > 0) {
      const spans = this.#queue.splice(0, this.#settings.batchLimit);
      const resource = { attributes: this.#settings.resource, version: this.#version };
      const body = encodeOtlp({ unixOffsetNs: unixOffsetNs(), spans }, resource);
      const status = await this.#post(this.#settings, body).catch(() => 0);
      if (status < 200 || status > 299) this.dropped += spans.length;
    }
  }
}

/** One POST; the answer's body is thrown away. HTTP is loaded when the first spans leave: most processes send none. */
export async function postJson({ endpoint, headers, timeoutMs }: OtlpSettings, body: string): Promise<number> {
  const { request } = await (endpoint.startsWith("https:") ? import("node:https") : import("node:http"));
  const all = { ...headers, "content-type": "application/json", "content-length": Buffer.byteLength(body) };
  return await new Promise((resolve, reject) => {
    const call = request(endpoint, { method: "POST", headers: all }, (answer) => {
      answer.resume();
      answer.on("end", () => resolve(answer.statusCode ?? 0)).on("error", reject);
    });
    const limit = setTimeout(() => call.destroy(new Error("timeout")), timeoutMs).unref();
    call.on("close", () => clearTimeout(limit)).on("error", reject);
    call.on("socket", (socket) => socket.unref()); // a collector that hangs keeps nobody from ending
    call.end(body);
  });
}
