import { randomBytes } from "node:crypto";
import { Readable } from "node:stream";
import { createGzip } from "node:zlib";
import { parseDigest } from "../content/digest.ts";
import { type Compression, detectCompression } from "../layers/unpack/decompress.ts";
import type { StoredFile } from "./archive-files.ts";
import { abortIngest, ingestBlob } from "./ingest.ts";
import { labelBlob } from "./labels.ts";
import { blobChunks } from "./read-blob.ts";
import { callOptions, type TransferContext } from "./transfer-context.ts";

const UNCOMPRESSED = "containerd.io/uncompressed";
const MAGIC_BYTES = 10;

/** How a blob is packed, by its first bytes. */
export async function blobCompression(context: TransferContext, file: StoredFile): Promise<Compression> {
  const chunks: Uint8Array[] = [];
  const length = Math.min(MAGIC_BYTES, file.sizeBytes);
  if (length > 0) for await (const chunk of blobChunks(context, file.digest, 0, length)) chunks.push(chunk);
  return detectCompression(Buffer.concat(chunks));
}

/** A compressed blob with the same content as a plain layer, if the store has one. */
export async function compressedTwin(context: TransferContext, plain: StoredFile): Promise<StoredFile | undefined> {
  const filters = [`labels."${UNCOMPRESSED}"==${plain.digest}`];
  for await (const { info } of context.services.content.list({ filters }, callOptions(context))) {
    const other = info.find(({ digest }) => digest !== plain.digest);
    if (other === undefined) continue;
    const digest = parseDigest("digest", other.digest);
    await leaseBlob(context, digest);
    return { digest, sizeBytes: Number(other.size) };
  }
  return undefined;
}

/** Only what a transfer writes or meets while writing joins its lease by itself. */
async function leaseBlob(context: TransferContext, digest: string): Promise<void> {
  const resource = { id: digest, type: "content" };
  await context.services.leases.addResource({ id: context.lease, resource }, callOptions(context));
}

/** Make a gzip twin of a plain layer, and note whose twin it is. */
export async function compressLayer(context: TransferContext, plain: StoredFile): Promise<StoredFile> {
  const ref = `compress-${randomBytes(9).toString("base64url")}-${plain.digest}`;
  try {
    const gzip = () => Readable.from(blobChunks(context, plain.digest), { objectMode: false }).compose(createGzip());
    const request = { ref, what: `gzip of layer ${plain.digest}`, sizeBytes: 0, open: gzip };
    const twin = await ingestBlob(context, request);
    await labelBlob(context, twin.digest, { [UNCOMPRESSED]: plain.digest });
    return twin;
  } catch (error) {
    await abortIngest(context, ref).catch(() => {});
    throw error;
  }
}
