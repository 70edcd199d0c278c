import { containerd } from "@trimaran/proto";
import { algorithmOf, type Digest, parseDigest } from "../content/digest.ts";
import type { IngestWriter } from "../content/ingest-writer.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { requireNamespace, type ServiceCall } from "../grpc/service-call.ts";
import type { IngestRecord } from "../metadata/ingests.ts";
import { parseLabels } from "../metadata/labels.ts";
import type { NamespacedCall } from "./content-catalog.ts";
import type { ContentHost } from "./content-host.ts";
import { abortIngest, statusFields } from "./content-ingests.ts";
import { publishEvent } from "./publish-event.ts";

type Request = containerd.services.content.v1.WriteContentRequest;
type Response = Partial<containerd.services.content.v1.WriteContentResponse>;

const { STAT, WRITE, COMMIT } = containerd.services.content.v1.WriteAction;

/** Content.Write: one ingest, each message with its answer, until a COMMIT succeeds or the client has gone. */
export async function* writeContent(
  host: ContentHost,
  requests: AsyncIterable<Request>,
  call: ServiceCall,
): AsyncGenerator<Response> {
  const namespace = requireNamespace(call);
  let session: WriteSession | undefined;
  try {
    for await (const request of requests) {
      session ??= await WriteSession.open(host, { namespace, lease: call.lease, signal: call.signal }, request);
      yield await session.handle(request);
      if (request.action === COMMIT) return;
    }
  } finally {
    await session?.[Symbol.asyncDispose]();
  }
}

class WriteSession implements AsyncDisposable {
  readonly #host: ContentHost;
  readonly #call: NamespacedCall;
  readonly #ingest: IngestRecord;
  readonly #writer: IngestWriter;
  #totalBytes = 0;
  #expected: Digest | undefined;

  private constructor(host: ContentHost, call: NamespacedCall, ingest: IngestRecord, writer: IngestWriter) {
    this.#host = host;
    this.#call = call;
    this.#ingest = ingest;
    this.#writer = writer;
  }

  /** The first message names the ref. AlreadyExists if what is expected is here, Unavailable if somebody else writes. */
  static async open(host: ContentHost, call: NamespacedCall, first: Request): Promise<WriteSession> {
    const { ref } = first;
    if (ref === "") throw new ManagerError(Code.InvalidArgument, "ref is empty");
    const [expected, totalBytes] = [parseExpected(first), parseByteCount("total", first.total)];
    using _ = expected === undefined ? undefined : host.files.blobs.pin(expected);
    const isOnDisk = expected !== undefined && (await host.files.blobs.sizeBytes(expected)) !== undefined;
    if (expected !== undefined && host.catalog.meet(call, expected)) throw alreadyExists(expected);
    const earlier = host.catalog.ingests.find(call.namespace, ref);
    if (earlier !== undefined) host.files.refuseSecondWriter(earlier.backendRef, ref);
    const ingest = host.catalog.openIngest(call, ref, expected);
    host.collection.changed();
    const writer = await host.files.openIngest({
      backendRef: ingest.backendRef,
      ref,
      totalBytes,
      algorithm: expected === undefined ? "sha256" : algorithmOf(expected),
      shared: isOnDisk ? expected : undefined,
      signal: call.signal,
    });
    return new WriteSession(host, call, ingest, writer);
  }

  async handle(request: Request): Promise<Response> {
    await this.#learn(request);
    switch (request.action) {
      case STAT:
        return this.#stat();
      case WRITE:
        await this.#write(request);
        return { action: WRITE, offset: BigInt(this.#writer.offsetBytes) };
      case COMMIT:
        return this.#commit(request);
      default:
        throw new ManagerError(Code.InvalidArgument, `action ${request.action}: unknown`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
  }

  /** Any message may say what is to come; it holds for the later ones too. */
  async #learn(request: Request): Promise<void> {
    this.#totalBytes = parseByteCount("total", request.total) || this.#totalBytes;
    const expected = parseExpected(request);
    if (expected === undefined) return;
    this.#expected = expected;
    if (!this.#host.catalog.meet(this.#call, expected)) return;
    await abortIngest(this.#host, this.#call.namespace, this.#ingest);
    throw alreadyExists(expected);
  }

  #stat(): Response {
    return { ...statusFields(this.#writer.status), action: STAT, digest: this.#writer.digest() };
  }

  async #write({ offset, data }: Request): Promise<void> {
    const current = this.#writer.offsetBytes;
    if (offset !== 0n && offset !== BigInt(current)) {
      throw new ManagerError(
        Code.OutOfRange,
        `offset ${offset}: the ingest ${JSON.stringify(this.#ingest.ref)} is at ${current}`,
      );
    }
    if (offset === 0n && current > 0) await this.#writer.clear();
    if (data.length > 0) await this.#writer.append(data);
  }

  async #commit(request: Request): Promise<Response> {
    const labels = parseLabels("labels", request.labels);
    await this.#write(request);
    const conditions = { totalBytes: this.#totalBytes, expected: this.#expected };
    const blob = await this.#writer.commit(conditions, (digest, sizeBytes) => ({
      digest,
      sizeBytes,
      created: this.#host.catalog.commitIngest(this.#call, this.#ingest, { digest, sizeBytes, labels }),
    }));
    if (!blob.created) throw alreadyExists(blob.digest);
    const event = { digest: blob.digest, size: blob.sizeBytes };
    publishEvent(this.#host, this.#call.namespace, "/content/create", containerd.events.ContentCreate, event);
    this.#host.collection.changed();
    return { ...statusFields(this.#writer.status), action: COMMIT, digest: blob.digest };
  }
}

function parseByteCount(field: string, count: bigint): number {
  if (count >= 0n && count <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(count);
  throw new ManagerError(Code.InvalidArgument, `${field} ${count}: not a number of bytes`);
}

function parseExpected({ expected }: Request): Digest | undefined {
  return expected === "" ? undefined : parseDigest("expected", expected);
}

function alreadyExists(digest: Digest): ManagerError {
  return new ManagerError(Code.AlreadyExists, `content ${digest}: already exists`);
}
