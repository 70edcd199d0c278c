import { randomBytes } from "node:crypto";
import { join } from "node:path/posix";
import { type Digest, isDigest } from "../content/digest.ts";
import { Code, ManagerError, messageOf } from "../errors/manager-error.ts";
import { StreamSource } from "../layers/tar/byte-source.ts";
import { toText } from "../layers/tar/byte-string.ts";
import { TarError } from "../layers/tar/tar-header.ts";
import { readTar, type TarEntry } from "../layers/tar/tar-reader.ts";
import { decompress } from "../layers/unpack/decompress.ts";
import { LayerError } from "../layers/unpack/layer-error.ts";
import { DOCUMENT_LIMIT_BYTES } from "./document.ts";
import { abortIngest, ingestBlob } from "./ingest.ts";
import type { TransferContext } from "./transfer-context.ts";

/** A file of an archive, now a blob. */
export interface StoredFile {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

const NOT_STORED = ["oci-layout", "manifest.json"];
const FILES_LIMIT = 20_000;
const LINK_LIMIT = 8;

/** The files of an image archive by name: small ones that describe it in memory, all others as blobs. */
export class ArchiveFiles {
  readonly #documents = new Map<string, Buffer>();
  readonly #files = new Map<string, StoredFile>();
  readonly #links = new Map<string, string>();

  /**
   * Read a tar stream, also a gzip or zstd one, to its end, and put its files into the content store as they come. Those that the
   * store has are skipped. Throws InvalidArgument for what is no tar, FailedPrecondition for a blob that is not what its name says.
   */
  static async store(context: TransferContext, stream: AsyncIterable<Buffer>): Promise<ArchiveFiles> {
    const archive = new ArchiveFiles();
    const refPrefix = `import-${randomBytes(9).toString("base64url")}`;
    try {
      const source = new StreamSource(decompress(stream, false));
      for await (const entry of readTar(source)) await archive.#add(context, entry, refPrefix);
      while ((await source.readSome(1 << 20)) !== undefined) context.signal.throwIfAborted(); // padding, and gzip's checksum
      return archive;
    } catch (error) {
      if (!(error instanceof TarError) && !(error instanceof LayerError)) throw error;
      throw new ManagerError(Code.InvalidArgument, `image archive: ${messageOf(error)}`, { cause: error });
    }
  }

  /** `oci-layout` or `manifest.json`, if it is there. */
  document(name: string): Buffer | undefined {
    return this.#documents.get(name);
  }

  /** A file; links are followed. Docker's old archives have a layer that two images share once as a file, then as links. */
  file(name: string): StoredFile | undefined {
    let at = clean(name);
    for (let links = 0; links < LINK_LIMIT; links++) {
      const target = this.#links.get(at);
      if (target === undefined) return this.#files.get(at);
      at = target;
    }
    return undefined;
  }

  async #add(context: TransferContext, entry: TarEntry, refPrefix: string): Promise<void> {
    const name = clean(toText(entry.name));
    if (this.#files.size + this.#links.size > FILES_LIMIT) {
      throw new ManagerError(Code.InvalidArgument, `image archive: more than ${FILES_LIMIT} files`);
    }
    if (entry.type === "2") this.#links.set(name, clean(join("/", name, "..", toText(entry.linkName))));
    else if (entry.type === "1") this.#links.set(name, clean(toText(entry.linkName)));
    else if (entry.type !== "0" && entry.type !== "7") return;
    else if (NOT_STORED.includes(name)) this.#documents.set(name, await readDocument(entry, name));
    else this.#files.set(name, await storeFile(context, entry, name, `${refPrefix}/${name}`));
  }
}

async function storeFile(context: TransferContext, entry: TarEntry, name: string, ref: string): Promise<StoredFile> {
  try {
    return await ingestBlob(context, {
      ref,
      what: `image archive: ${name}`,
      sizeBytes: entry.sizeBytes,
      expected: digestInName(name),
      open: () => entry.body(),
    });
  } catch (error) {
    await abortIngest(context, ref).catch(() => {}); // nobody can go on with it: the name is random
    throw error;
  }
}

/** The digest of `blobs/sha256/HEX`. */
function digestInName(name: string): Digest | undefined {
  const [, algorithm, hex] = /^blobs\/([a-z0-9]+)\/([0-9a-f]+)$/.exec(name) ?? [];
  const digest = `${algorithm}:${hex}`;
  return isDigest(digest) ? digest : undefined;
}

async function readDocument(entry: TarEntry, name: string): Promise<Buffer> {
  if (entry.sizeBytes > DOCUMENT_LIMIT_BYTES) {
    throw new ManagerError(Code.InvalidArgument, `image archive: ${name}: ${entry.sizeBytes} bytes are too many`);
  }
  const chunks: Buffer[] = [];
  for await (const chunk of entry.body()) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

function clean(name: string): string {
  return join("/", name).slice(1);
}
