import { type ByteString, toText } from "./byte-string.ts";
import { type PaxSparse, parsePaxRecords, type TarOverrides } from "./pax-records.ts";
import {
  checkSparseMap,
  type Extent,
  parseOldGnuExtension,
  parseOldGnuHeader,
  parseSparseLines,
  type SparseMap,
} from "./sparse-map.ts";
import { BLOCK_BYTES, parseTarHeader, TarError, type TarHeader } from "./tar-header.ts";

/** One member of an archive, extensions applied. Names are as they stand in the archive: anything may be in them. */
export interface TarMember extends TarHeader {
  readonly xattrs: ReadonlyMap<ByteString, Buffer>;
  /** Seconds since 1970, if the archive says. */
  readonly atimeSeconds: number | undefined;
  /** Bytes stored in the archive; with `sparse`, the file is longer. */
  readonly sizeBytes: number;
  readonly sparse: SparseMap | undefined;
  /** Where its content begins in the source. */
  readonly offset: number;
}

/**
 * What the parser of an archive asks for. "read": resume with exactly so many bytes (a view is enough), or with fewer where the
 * source ends. "skip": pass over them. "member": a member; the one who drives the parser takes its `sizeBytes` from the source, then resumes.
 */
export type TarStep =
  | { readonly kind: "read" | "skip"; readonly bytes: number }
  | { readonly kind: "member"; readonly member: TarMember };

/** Extensions above this are refused: a name or an attribute has 64 KiB at most, and a few fit. */
const EXTENSION_LIMIT_BYTES = 1 << 20;
const NO_XATTRS: ReadonlyMap<ByteString, Buffer> = new Map();
const READ_BLOCK: TarStep = { kind: "read", bytes: BLOCK_BYTES };
type Parser<T> = Generator<TarStep, T, Buffer>;

/** Counts what was taken from the source. */
interface Place {
  position: number;
}

/**
 * The one parser of tar archives, for synchronous and asynchronous sources: v7, ustar, star, PAX, GNU long names, sparse files of all four
 * kinds. Global PAX headers are ignored. Ends at the first block of zeros or at the end of the source. Throws TarError with the position.
 */
export function* tarMembers(): Parser<void> {
  const place: Place = { position: 0 };
  let begin = 0;
  try {
    for (let overrides: TarOverrides = {}; ; ) {
      begin = place.position;
      const block = yield* readBlock(place);
      const header = block === undefined ? undefined : parseTarHeader(block);
      if (block === undefined || header === undefined) return;
      const extension = yield* readExtension(place, header);
      if (extension !== undefined) {
        overrides = { ...overrides, ...extension };
        continue;
      }
      yield* readMember(place, block, header, overrides);
      overrides = {};
    }
  } catch (error) {
    if (!(error instanceof TarError)) throw error;
    throw new TarError(`tar at byte ${begin}: ${error.message}`, { cause: error });
  }
}

function* readBlock(place: Place): Parser<Buffer | undefined> {
  const block = yield READ_BLOCK;
  place.position += block.length;
  if (block.length === 0) return undefined;
  if (block.length < BLOCK_BYTES) throw new TarError("cut short in a header");
  return block;
}

function* readExactly(place: Place, bytes: number, what: string): Parser<Buffer> {
  if (bytes > EXTENSION_LIMIT_BYTES) throw new TarError(`${what} of ${bytes} bytes`);
  const body = yield { kind: "read", bytes };
  if (body.length < bytes) throw new TarError(`cut short in ${what}`);
  place.position += bytes;
  return body;
}

function* skip(place: Place, bytes: number): Parser<void> {
  if (bytes === 0) return;
  yield { kind: "skip", bytes };
  place.position += bytes;
}

/** What an extension header says of the next one; undefined if the header is a member's. */
function* readExtension(place: Place, { type, sizeBytes }: TarHeader): Parser<TarOverrides | undefined> {
  if (type !== "x" && type !== "g" && type !== "L" && type !== "K") return undefined;
  // The body is a view that the next read may overwrite: everything kept of it is copied by the parsers.
  const body = yield* readExactly(place, sizeBytes, "an extension");
  const overrides = parseExtension(type, body);
  yield* skip(place, padding(sizeBytes));
  return overrides;
}

function parseExtension(type: "x" | "g" | "L" | "K", body: Buffer): TarOverrides {
  if (type === "g") return {};
  if (type === "x") return parsePaxRecords(body);
  const name = body.toString("latin1", 0, body.includes(0) ? body.indexOf(0) : body.length);
  return type === "L" ? { name } : { linkName: name };
}

function* readMember(place: Place, block: Buffer, header: TarHeader, overrides: TarOverrides): Parser<void> {
  const { xattrs = NO_XATTRS, sparse: pax, atimeSeconds, ...changes } = overrides;
  const merged = { ...header, ...changes };
  if (merged.name.length === 0) throw new TarError("a member without a name");
  const storedBytes = hasBody(merged.type) ? merged.sizeBytes : 0;
  const begin = place.position;
  const sparse = merged.type === "S" ? yield* readOldGnu(place, block) : yield* readPaxSparse(place, pax, storedBytes);
  // The map of PAX 1.0 counts as a part of the body, old GNU's extension blocks don't.
  const sizeBytes = storedBytes - (merged.type === "S" ? 0 : place.position - begin);
  if (sparse !== undefined) checkSparseMap(sparse, sizeBytes);
  const member: TarMember = {
    ...merged,
    type: memberType(merged),
    sizeBytes,
    xattrs,
    atimeSeconds,
    sparse,
    offset: place.position,
  };
  yield { kind: "member", member };
  place.position += sizeBytes;
  yield* skip(place, padding(sizeBytes));
}

function* readOldGnu(place: Place, block: Buffer): Parser<SparseMap> {
  const { extents, realSizeBytes, more: hasMore } = parseOldGnuHeader(block);
  const limit = place.position + EXTENSION_LIMIT_BYTES;
  for (let more = hasMore; more; ) {
    if (place.position >= limit) throw new TarError("the sparse map is too long");
    const part = parseOldGnuExtension(yield* readExactly(place, BLOCK_BYTES, "a sparse map"));
    extents.push(...part.extents);
    more = part.more;
  }
  return { realSizeBytes, extents };
}

function* readPaxSparse(place: Place, pax: PaxSparse | undefined, storedBytes: number): Parser<SparseMap | undefined> {
  if (pax === undefined) return undefined;
  const extents = pax.extents ?? (yield* readSparseBody(place, storedBytes));
  if (pax.realSizeBytes === undefined) throw new TarError("a sparse file without its size");
  return { realSizeBytes: pax.realSizeBytes, extents };
}

function* readSparseBody(place: Place, storedBytes: number): Parser<readonly Extent[]> {
  let body = Buffer.alloc(0);
  for (;;) {
    if (body.length + BLOCK_BYTES > Math.min(storedBytes, EXTENSION_LIMIT_BYTES)) {
      throw new TarError("the sparse map is cut short or too long");
    }
    body = Buffer.concat([body, yield* readExactly(place, BLOCK_BYTES, "a sparse map")]);
    const extents = parseSparseLines(body);
    if (extents !== undefined) return extents;
  }
}

/** Links, devices and directories have none, whatever their size field says; types from the future have. */
function hasBody(type: string): boolean {
  return type < "1" || type > "6";
}

function memberType({ type, name }: TarHeader): string {
  if (type === "S" || type === "7") return "0";
  return type === "0" && name.endsWith("/") ? "5" : type; // v7 has no type for directories
}

function padding(length: number): number {
  return (BLOCK_BYTES - (length % BLOCK_BYTES)) % BLOCK_BYTES;
}

/** The error for a source that ends in a member's content. */
export function cutShort(member: TarMember): TarError {
  return new TarError(`tar at byte ${member.offset}: ${JSON.stringify(toText(member.name))} is cut short`);
}
