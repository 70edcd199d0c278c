import { type ByteSource, readExactly } from "./byte-source.ts";
import { parsePaxRecords, type TarOverrides } from "./pax-records.ts";
import { BLOCK_BYTES, decodeName, parseTarHeader, TarError, type TarHeader } from "./tar-header.ts";

/** One member of an archive, extensions applied. Names are as they stand in the archive: anything may be in them. */
export interface TarEntry extends TarHeader {
  readonly xattrs: ReadonlyMap<string, Buffer>;
  /** Where its content begins in the source. */
  readonly offset: number;
  /** Its content, to be read before the next entry is asked for; what is not read is skipped. */
  body(): AsyncGenerator<Uint8Array, void>;
}

/** Extension blocks above this are refused: a name or an attribute has 64 KiB at most, and a few fit. */
const EXTENSION_LIMIT_BYTES = 1 << 20;
const CHUNK_BYTES = 1 << 18;
const NO_XATTRS: ReadonlyMap<string, Buffer> = new Map();

/**
 * The members of a tar archive: ustar, PAX, GNU long names. Global PAX headers are ignored. Ends at the first block of zeros or
 * at the end of the source. Throws TarError with the position for what is malformed or cut short.
 */
export async function* readTar(source: ByteSource): AsyncGenerator<TarEntry, void> {
  let overrides: TarOverrides = {};
  for (;;) {
    const at = source.position;
    try {
      const header = await nextHeader(source);
      if (header === undefined) return;
      const extension = await readExtension(source, header);
      if (extension !== undefined) {
        overrides = { ...overrides, ...extension };
        continue;
      }
      const end = { position: 0 };
      yield makeEntry(source, header, overrides, end);
      overrides = {};
      await source.skip(end.position - source.position);
    } catch (error) {
      if (!(error instanceof TarError) && !(error instanceof RangeError)) throw error;
      throw new TarError(`tar at byte ${at}: ${error.message}`, { cause: error });
    }
  }
}

async function nextHeader(source: ByteSource): Promise<TarHeader | undefined> {
  const block = await readExactly(source, BLOCK_BYTES);
  if (block.length === 0) return undefined;
  if (block.length < BLOCK_BYTES) throw new TarError("cut short in a header");
  return parseTarHeader(block);
}

/** What an extension header says of the next one; undefined if the header is a member's. */
async function readExtension(source: ByteSource, header: TarHeader): Promise<TarOverrides | undefined> {
  if (!["x", "g", "L", "K"].includes(header.type)) return undefined;
  const { sizeBytes } = header;
  if (sizeBytes > EXTENSION_LIMIT_BYTES) throw new TarError(`extension of ${sizeBytes} bytes`);
  const body = await readExactly(source, sizeBytes);
  if (body.length < sizeBytes) throw new TarError("cut short in an extension");
  await source.skip(padded(sizeBytes) - sizeBytes);
  if (header.type === "g") return {};
  if (header.type === "x") return parsePaxRecords(body);
  const name = decodeName(body.subarray(0, body.includes(0) ? body.indexOf(0) : body.length));
  return header.type === "L" ? { name } : { linkName: name };
}

function makeEntry(
  source: ByteSource,
  header: TarHeader,
  { xattrs = NO_XATTRS, ...changes }: TarOverrides,
  end: { position: number },
): TarEntry {
  const merged = { ...header, ...changes };
  const hasBody = merged.type === "0" || merged.type === "7" || !/^[1-6]$/.test(merged.type);
  const sizeBytes = hasBody ? merged.sizeBytes : 0;
  const offset = source.position;
  end.position = offset + padded(sizeBytes);
  const body = async function* () {
    let left = sizeBytes - (source.position - offset);
    while (left > 0) {
      const chunk = await source.readSome(Math.min(left, CHUNK_BYTES));
      if (chunk === undefined) throw new TarError(`${JSON.stringify(merged.name)} is cut short`);
      left -= chunk.length;
      yield chunk;
    }
  };
  const type = merged.type === "0" && merged.name.endsWith("/") ? "5" : merged.type; // v7 has no type for directories
  return { ...merged, type, sizeBytes, xattrs, offset, body };
}

function padded(length: number): number {
  return Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES;
}
