import type { ByteString } from "./byte-string.ts";

/** A block of a tar archive that is not what it should be; the position is the reader's to add. */
export class TarError extends Error {
  override readonly name = "TarError";
}

export const BLOCK_BYTES = 512;

/** One header block as it stands, before PAX and GNU extensions are applied. */
export interface TarHeader {
  readonly name: ByteString;
  readonly linkName: ByteString;
  /** One character: "0" file, "1" hard link, "2" symbolic link, "3" char, "4" block, "5" directory, "6" FIFO, others. */
  readonly type: string;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** Seconds since 1970, perhaps negative. */
  readonly mtimeSeconds: number;
  /** 0 to 999999999, to be added. */
  readonly mtimeNanoseconds: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

const ZEROS = Buffer.alloc(BLOCK_BYTES);
const CHECKSUM = { at: 148, length: 8 } as const;
const BLANK = 0x20;
/** uid_t: 2^32-1 means "no change" to chown, so no file can have it. */
const ID_LIMIT = 2 ** 32 - 1;
const MAJOR_LIMIT = 2 ** 12;
const MINOR_LIMIT = 2 ** 20;

/** Parse one block of 512 bytes: v7, ustar, star or GNU. Undefined for a block of zeros. Throws TarError. Source: POSIX pax. */
export function parseTarHeader(block: Buffer): TarHeader | undefined {
  if (block[0] === 0 && block.equals(ZEROS)) return undefined;
  checkSum(block);
  const type = block[156] === 0 ? "0" : String.fromCharCode(block[156] ?? 0);
  const name = parseText(block, 0, 100);
  const prefix = parsePrefix(block);
  const hasDevice = (type === "3" || type === "4") && block.toString("latin1", 257, 262) === "ustar";
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: parseText(block, 157, 100),
    type,
    mode: parseNumber(block, 100, 8, "mode") & 0o7777,
    uid: bounded(parseNumber(block, 108, 8, "uid"), ID_LIMIT, "uid"),
    gid: bounded(parseNumber(block, 116, 8, "gid"), ID_LIMIT, "gid"),
    sizeBytes: toSize(parseNumber(block, 124, 12, "size")),
    mtimeSeconds: parseNumber(block, 136, 12, "mtime"),
    mtimeNanoseconds: 0,
    deviceMajor: hasDevice ? bounded(parseNumber(block, 329, 8, "devmajor"), MAJOR_LIMIT, "devmajor") : 0,
    deviceMinor: hasDevice ? bounded(parseNumber(block, 337, 8, "devminor"), MINOR_LIMIT, "devminor") : 0,
  };
}

/** In ustar the prefix is a part of the name; star's is shorter, GNU uses the place for other things. */
function parsePrefix(block: Buffer): ByteString {
  if (block[345] === 0 || block.toString("latin1", 257, 263) !== "ustar\0") return "";
  const isStar = block.toString("latin1", 508, 512) === "tar\0";
  return parseText(block, 345, isStar ? 131 : 155);
}

/** The sum is of unsigned bytes; some old programs took signed ones. */
function checkSum(block: Buffer): void {
  const stated = parseNumber(block, CHECKSUM.at, CHECKSUM.length, "checksum");
  let sum = CHECKSUM.length * BLANK; // the field itself counts as blanks
  let high = 0;
  for (let at = 0; at < BLOCK_BYTES; at++) {
    if (at === CHECKSUM.at) at += CHECKSUM.length;
    const byte = block[at] ?? 0;
    sum += byte;
    if (byte > 0x7f) high++;
  }
  if (sum !== stated && sum - 256 * high !== stated) {
    throw new TarError(`checksum is ${sum}, the header says ${stated}`);
  }
}

function parseText(block: Buffer, at: number, length: number): ByteString {
  let end = at;
  while (end < at + length && block[end] !== 0) end++;
  return block.toString("latin1", at, end);
}

/** One numeric field: octal text between blanks, or GNU's base 256 for what does not fit. Throws TarError. */
export function parseNumber(block: Buffer, begin: number, length: number, field: string): number {
  if ((block[begin] ?? 0) & 0x80) return base256(block.subarray(begin, begin + length), field);
  const end = begin + length;
  let at = begin;
  while (at < end && (block[at] === BLANK || block[at] === 0)) at++;
  let value = 0;
  for (; at < end; at++) {
    const byte = block[at] ?? 0;
    if (byte === BLANK || byte === 0) break;
    if (byte < 0x30 || byte > 0x37) {
      throw new TarError(`${field} ${JSON.stringify(block.toString("latin1", begin, end))} is not octal`);
    }
    value = value * 8 + byte - 0x30;
  }
  return value;
}

function base256(field: Buffer, name: string): number {
  const negative = ((field[0] ?? 0) & 0x40) !== 0;
  let value = BigInt((field[0] ?? 0) & 0x7f);
  for (const byte of field.subarray(1)) value = (value << 8n) | BigInt(byte);
  if (negative) value -= 1n << BigInt(field.length * 8 - 1);
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw new TarError(`${name} does not fit`);
  return result;
}

/** A size that a file can have. Throws TarError. */
export function toSize(value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new TarError(`size ${value} is not possible`);
}

/** A user or group id. Throws TarError. */
export function toId(value: number, field: string): number {
  return bounded(value, ID_LIMIT, field);
}

function bounded(value: number, limit: number, field: string): number {
  if (Number.isInteger(value) && value >= 0 && value < limit) return value;
  throw new TarError(`${field} ${value} is not possible`);
}
