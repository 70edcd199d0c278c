/** A block of a tar archive that is not what it should be; the position is the reader's to add. */
export class TarError extends Error {
  override readonly name = "TarError";
}

export const BLOCK_BYTES = 512;

/** One header block as it stands, before PAX and GNU extensions are applied. */
export interface TarHeader {
  readonly name: string;
  readonly linkName: string;
  /** One character: "0" file, "1" hard link, "2" symbolic link, "3" char, "4" block, "5" directory, "6" FIFO, others. */
  readonly type: string;
  /** Permission bits, 0 to 0o7777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly sizeBytes: number;
  /** Seconds since 1970, perhaps negative. */
  readonly mtime: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

/** Parse one block of 512 bytes: v7, ustar or GNU. Undefined for a block of zeros. Throws TarError. Source: POSIX pax. */
export function parseTarHeader(block: Buffer): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  checkSum(block);
  const magic = block.toString("latin1", 257, 263);
  const name = text(block, 0, 100);
  // In ustar the prefix is a part of the name; GNU uses the place for other things.
  const prefix = magic === "ustar\0" ? text(block, 345, 155) : "";
  return {
    name: prefix === "" ? name : `${prefix}/${name}`,
    linkName: text(block, 157, 100),
    type: block[156] === 0 ? "0" : String.fromCharCode(block[156] ?? 0),
    mode: number(block, 100, 8, "mode") & 0o7777,
    uid: number(block, 108, 8, "uid"),
    gid: number(block, 116, 8, "gid"),
    sizeBytes: size(number(block, 124, 12, "size")),
    mtime: number(block, 136, 12, "mtime"),
    deviceMajor: number(block, 329, 8, "devmajor"),
    deviceMinor: number(block, 337, 8, "devminor"),
  };
}

function checkSum(block: Buffer): void {
  const stated = number(block, 148, 8, "checksum");
  let sum = 8 * 0x20; // the checksum's own field counts as blanks
  for (let at = 0; at < BLOCK_BYTES; at++) if (at < 148 || at >= 156) sum += block[at] ?? 0;
  if (sum !== stated) throw new TarError(`checksum is ${sum}, the header says ${stated}`);
}

function text(block: Buffer, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return decodeName(end < 0 ? field : field.subarray(0, end));
}

/** A name's bytes as text. Throws TarError for what is not UTF-8: Node could not name that file. */
export function decodeName(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new TarError(`name ${JSON.stringify(Buffer.from(bytes).toString("latin1"))} is not UTF-8`);
  }
}

/** Octal text, or GNU's base 256 for what does not fit. */
function number(block: Buffer, at: number, length: number, field: string): number {
  const first = block[at] ?? 0;
  if (first & 0x80) return base256(block.subarray(at, at + length), field);
  const digits = block
    .toString("latin1", at, at + length)
    .replace(/[\0 ]+$/, "")
    .trimStart();
  if (digits === "") return 0;
  if (!/^[0-7]+$/.test(digits)) throw new TarError(`${field} ${JSON.stringify(digits)} is not octal`);
  return Number.parseInt(digits, 8);
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

/** A size that a file can have. */
export function size(value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new TarError(`size ${value} is not possible`);
}
