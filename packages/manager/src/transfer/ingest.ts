import { setTimeout as delay } from "node:timers/promises";
import { type Digest, parseDigest } from "../content/digest.ts";
import { Code, hasCode, ManagerError, messageOf } from "../errors/manager-error.ts";
import type { TransferContext } from "./transfer-context.ts";
import { ACTION, WriteCall } from "./write-call.ts";

/** A blob to bring into the content store. */
export interface IngestRequest {
  /** The store's name for the half of it: who uses the same one goes on where it stopped. */
  readonly ref: string;
  /** What it is, for errors: `layer sha256:…`. */
  readonly what: string;
  /** 0 if unknown. */
  readonly sizeBytes: number;
  readonly expected?: Digest | undefined;
  /** The blob's bytes from an offset on; called at most once. */
  readonly open: (offsetBytes: number) => AsyncIterable<Uint8Array>;
  /** Bytes that are in the store so far. */
  readonly onBytes?: (doneBytes: number) => Promise<void>;
}

/** What is in the store now. */
export interface Ingested {
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** The store had it already, so that its bytes were not asked for. */
  readonly existed: boolean;
}

/** Messages of this size keep the number of round trips small; the store takes up to 16 MiB. */
const WRITE_BYTES = 1 << 20;
const LOCKED_TRIES = 8;
const LOCKED_BACKOFF_MS = 20;

/**
 * Write a blob, or go on with one. Content that has another digest or size than expected is FailedPrecondition, and thrown away,
 * so that the next try does not begin with it.
 */
export async function ingestBlob(context: TransferContext, request: IngestRequest): Promise<Ingested> {
  for (let tries = 1; ; tries++) {
    try {
      return await ingestOnce(context, request);
    } catch (error) {
      // Somebody else writes it: when that has ended, the blob is there or half of it is ours to complete.
      if (!(error instanceof LockedError) || tries === LOCKED_TRIES) throw error;
      await delay(LOCKED_BACKOFF_MS * 2 ** (tries - 1), undefined, { signal: context.signal });
    }
  }
}

/** Another stream writes under the same ref. Thrown before any byte was read. */
class LockedError extends ManagerError {}

async function ingestOnce(context: TransferContext, request: IngestRequest): Promise<Ingested> {
  await using call = new WriteCall(context);
  const { expected, sizeBytes } = request;
  const begun = await begin(call, request);
  if (begun === undefined && expected !== undefined) return { digest: expected, sizeBytes, existed: true };
  return await commit(context, call, request, await writeBytes(call, request, begun ?? 0));
}

/** Bytes that the store has already; undefined if it has the whole blob. */
async function begin(call: WriteCall, { ref, sizeBytes, expected, what }: IngestRequest): Promise<number | undefined> {
  try {
    const { offset } = await call.exchange({ action: ACTION.STAT, ref, total: sizeBytes, expected: expected ?? "" });
    return Number(offset);
  } catch (error) {
    if (hasCode(error, Code.AlreadyExists) && expected !== undefined) return undefined;
    if (hasCode(error, Code.Unavailable)) {
      throw new LockedError(Code.Unavailable, `${what}: ref ${ref} is locked by another writer`, { cause: error });
    }
    throw error;
  }
}

/** Write what is missing, in messages of 1 MiB; the length of the whole. */
async function writeBytes(call: WriteCall, request: IngestRequest, begun: number): Promise<number> {
  const { open, sizeBytes, ref, onBytes } = request;
  if (sizeBytes > 0 && begun === sizeBytes) return begun;
  // What cannot be the beginning of the blob is overwritten: a write at offset 0 starts anew.
  let offset = sizeBytes > 0 && begun > sizeBytes ? 0 : begun;
  const buffer = Buffer.allocUnsafe(sizeBytes > 0 ? Math.min(sizeBytes, WRITE_BYTES) : WRITE_BYTES);
  let filled = 0;
  const flush = async () => {
    await call.exchange({ action: ACTION.WRITE, ref, offset, data: buffer.subarray(0, filled) });
    offset += filled;
    filled = 0;
    await onBytes?.(offset);
  };
  for await (const chunk of open(offset)) {
    for (let at = 0; at < chunk.length; ) {
      const part = chunk.subarray(at, at + buffer.length - filled);
      buffer.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled === buffer.length) await flush();
    }
  }
  if (filled > 0) await flush();
  return offset;
}

async function commit(
  context: TransferContext,
  call: WriteCall,
  request: IngestRequest,
  size: number,
): Promise<Ingested> {
  const { ref, sizeBytes, what } = request;
  const total = sizeBytes > 0 ? sizeBytes : size;
  // The store has hashed along. To name the digest makes "already exists" an answer that says which blob that is.
  const digest = request.expected ?? (await call.exchange({ action: ACTION.STAT, ref })).digest;
  const expected = parseDigest(`${what}: digest`, digest);
  try {
    await call.exchange({ action: ACTION.COMMIT, ref, offset: size, total, expected });
    return { digest: expected, sizeBytes: size, existed: false };
  } catch (error) {
    if (hasCode(error, Code.AlreadyExists)) return { digest: expected, sizeBytes: size, existed: true };
    if (!hasCode(error, Code.FailedPrecondition)) throw error;
    await call[Symbol.asyncDispose]();
    await abortIngest(context, ref);
    const message = `${what}: the content is not what its descriptor says: ${messageOf(error)}`;
    throw new ManagerError(Code.FailedPrecondition, message, { cause: error });
  }
}

/** Throw away the half of a blob; that there is none is fine. */
export async function abortIngest(context: TransferContext, ref: string): Promise<void> {
  try {
    await context.services.content.abort({ ref }, { lease: context.lease });
  } catch (error) {
    if (!hasCode(error, Code.NotFound)) throw error;
  }
}
