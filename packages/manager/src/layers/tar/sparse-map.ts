import { parseNumber, TarError, toSize } from "./tar-header.ts";

/** A file with holes: what is stored of it, and how long it is. */
export interface SparseMap {
  readonly realSizeBytes: number;
  /** In order, without overlap, none beyond the end; the stored bytes follow each other in the archive. */
  readonly extents: readonly Extent[];
}

/** A run of stored bytes at its place in the file. */
export interface Extent {
  readonly offset: number;
  readonly sizeBytes: number;
}

const PAIR_BYTES = 24;
const IN_HEADER = { at: 386, pairs: 4, moreAt: 482, realSizeAt: 483 } as const;
const IN_EXTENSION = { at: 0, pairs: 21, moreAt: 504 } as const;

/** The part of the map that is in an old GNU header (type "S"), and whether an extension block follows. Throws TarError. */
export function parseOldGnuHeader(block: Buffer): { extents: Extent[]; more: boolean; realSizeBytes: number } {
  const realSizeBytes = toSize(parseNumber(block, IN_HEADER.realSizeAt, 12, "realsize"));
  return { ...parsePairs(block, IN_HEADER), realSizeBytes };
}

/** One extension block of an old GNU map. Throws TarError. */
export function parseOldGnuExtension(block: Buffer): { extents: Extent[]; more: boolean } {
  return parsePairs(block, IN_EXTENSION);
}

function parsePairs(block: Buffer, place: { at: number; pairs: number; moreAt: number }) {
  const extents: Extent[] = [];
  for (let index = 0; index < place.pairs; index++) {
    const at = place.at + index * PAIR_BYTES;
    if (block[at] === 0) break;
    const offset = parseNumber(block, at, 12, "sparse offset");
    extents.push({ offset, sizeBytes: parseNumber(block, at + 12, 12, "sparse size") });
  }
  return { extents, more: block[place.moreAt] !== 0 };
}

/** The map at the beginning of a PAX 1.0 body: a count and as many pairs, a number a line. Undefined if more bytes are needed. */
export function parseSparseLines(body: Buffer): Extent[] | undefined {
  const numbers: number[] = [];
  let wanted = 1;
  for (let at = 0; numbers.length < wanted; ) {
    const end = body.indexOf(0x0a, at);
    if (end < 0) return undefined;
    numbers.push(parseDecimal(body.toString("latin1", at, end)));
    if (numbers.length === 1) wanted = 1 + 2 * (numbers[0] ?? 0);
    at = end + 1;
  }
  return toExtents(numbers.slice(1));
}

/** `offset,size,offset,size`, PAX 0.1. Throws TarError. */
export function parseSparseList(text: string): Extent[] {
  return text === "" ? [] : toExtents(text.split(",").map(parseDecimal));
}

function toExtents(numbers: readonly number[]): Extent[] {
  if (numbers.length % 2 !== 0) throw new TarError("sparse map: an offset without a size");
  const extents: Extent[] = [];
  for (let at = 0; at < numbers.length; at += 2) {
    extents.push({ offset: numbers[at] ?? 0, sizeBytes: numbers[at + 1] ?? 0 });
  }
  return extents;
}

function parseDecimal(text: string): number {
  if (/^\d{1,16}$/.test(text)) return toSize(Number(text));
  throw new TarError(`sparse map: ${JSON.stringify(text)} is not a number`);
}

/** Check a map against what the archive stores. Throws TarError. */
export function checkSparseMap(map: SparseMap, storedBytes: number): void {
  let [end, sum] = [0, 0];
  for (const { offset, sizeBytes } of map.extents) {
    const fits = offset >= end && sizeBytes >= 0 && offset + sizeBytes <= map.realSizeBytes;
    if (!fits) throw new TarError(`sparse map: ${sizeBytes} bytes at ${offset} are out of order or beyond the end`);
    end = offset + sizeBytes;
    sum += sizeBytes;
  }
  if (sum !== storedBytes) throw new TarError(`sparse map: of ${sum} bytes, the archive has ${storedBytes}`);
}
