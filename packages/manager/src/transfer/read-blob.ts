import { digestOf } from "../content/digest.ts";
import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import type { Descriptor } from "./descriptor.ts";
import { DOCUMENT_LIMIT_BYTES } from "./document.ts";
import { callOptions, type TransferContext } from "./transfer-context.ts";

/** A part of a blob, in chunks of at most 1 MiB. Throws NotFound. `lengthBytes` 0 reads to the end. */
export async function* blobChunks(
  context: TransferContext,
  digest: string,
  offsetBytes = 0,
  lengthBytes = 0,
): AsyncGenerator<Uint8Array, void> {
  const request = { digest, offset: offsetBytes, size: lengthBytes };
  for await (const { data } of context.services.content.read(request, callOptions(context))) yield data;
}

/** A whole small blob, its size and digest checked: a manifest, an index, a config. Throws NotFound, DataLoss, ResourceExhausted. */
export async function readBlob(context: TransferContext, descriptor: Descriptor, what: string): Promise<Buffer> {
  const { digest, size } = descriptor;
  if (size > DOCUMENT_LIMIT_BYTES) {
    throw new ManagerError(
      Code.ResourceExhausted,
      `${what} ${digest}: ${size} bytes; ${DOCUMENT_LIMIT_BYTES} at most are read`,
    );
  }
  const stored = await blobSize(context, digest, what);
  if (stored !== size) {
    throw new ManagerError(
      Code.DataLoss,
      `${what} ${digest}: ${stored} bytes in the store, the descriptor says ${size}`,
    );
  }
  if (size === 0) return Buffer.alloc(0);
  const chunks: Uint8Array[] = [];
  for await (const chunk of blobChunks(context, digest, 0, size)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  const actual = digestOf(bytes, digest.startsWith("sha512:") ? "sha512" : "sha256");
  if (actual !== digest)
    throw new ManagerError(Code.DataLoss, `${what} ${digest}: its bytes have the digest ${actual}`);
  return bytes;
}

/** The length of a blob. Throws NotFound, with what the blob is. */
export async function blobSize(context: TransferContext, digest: string, what: string): Promise<number> {
  try {
    const { info } = await context.services.content.info({ digest }, callOptions(context));
    return Number(info?.size ?? 0);
  } catch (error) {
    if (!hasCode(error, Code.NotFound)) throw error;
    throw new ManagerError(Code.NotFound, `${what} ${digest}: not found`, { cause: error });
  }
}

/** Whether the store has a blob (for this namespace). */
export async function hasBlob(context: TransferContext, digest: string): Promise<boolean> {
  try {
    await context.services.content.info({ digest }, callOptions(context));
    return true;
  } catch (error) {
    if (hasCode(error, Code.NotFound)) return false;
    throw error;
  }
}
