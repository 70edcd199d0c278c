import type { ByteString } from "./byte-string.ts";
import { BLOCK_BYTES } from "./tar-header.ts";

/** A member to be written. What is left out is 0 or empty. */
export interface TarHeaderFields {
  readonly name: ByteString;
  /** As in TarHeader. */
  readonly type: string;
  /** Permission bits. */
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly sizeBytes?: number;
  /** Seconds since 1970; a whole number, perhaps negative. */
  readonly mtimeSeconds?: number;
  readonly linkName?: ByteString;
  readonly deviceMajor?: number;
  readonly deviceMinor?: number;
  readonly xattrs?: ReadonlyMap<ByteString, Uint8Array>;
}

const NAME_BYTES = 100;
const ID_LIMIT = 8 ** 7;
const SIZE_LIMIT = 8 ** 11;
const NOT_ASCII = /[^\0-\x7f]/;

/** The header of a member, with a PAX header in front for what ustar cannot say. Its content, padded by `tarPadding`, is to follow. */
export function encodeTarHeader(fields: TarHeaderFields): Buffer {
  const records = paxRecords(fields);
  const header = encodeBlock(fields);
  if (records.length === 0) return header;
  const body = Buffer.concat(records);
  const pax = encodeBlock({ name: "PaxHeaders.0/member", type: "x", mode: 0o644, sizeBytes: body.length });
  return Buffer.concat([pax, body, tarPadding(body.length), header]);
}

/** The zeros after a content of so many bytes. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** What ends an archive. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK_BYTES);
}

function paxRecords(fields: TarHeaderFields): Buffer[] {
  const { name, linkName = "", uid = 0, gid = 0, sizeBytes = 0, mtimeSeconds = 0, xattrs = new Map() } = fields;
  const records: Buffer[] = [];
  const add = (key: string, value: string | Uint8Array) => records.push(encodeRecord(key, value));
  if (!fitsName(name)) add("path", Buffer.from(name, "latin1"));
  if (!fitsName(linkName)) add("linkpath", Buffer.from(linkName, "latin1"));
  if (uid >= ID_LIMIT) add("uid", String(uid));
  if (gid >= ID_LIMIT) add("gid", String(gid));
  if (sizeBytes >= SIZE_LIMIT) add("size", String(sizeBytes));
  if (mtimeSeconds < 0 || mtimeSeconds >= SIZE_LIMIT) add("mtime", String(mtimeSeconds));
  for (const [key, value] of xattrs) add(`SCHILY.xattr.${key}`, value);
  return records;
}

function fitsName(name: ByteString): boolean {
  return name.length <= NAME_BYTES && !NOT_ASCII.test(name);
}

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. */
function encodeRecord(key: string, value: string | Uint8Array): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, "latin1"), Buffer.from(value), Buffer.from("\n")]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function encodeBlock(fields: TarHeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write(fields.name, 0, NAME_BYTES, "latin1");
  writeOctal(block, 100, 8, fields.mode);
  writeOctal(block, 108, 8, fields.uid ?? 0);
  writeOctal(block, 116, 8, fields.gid ?? 0);
  writeOctal(block, 124, 12, fields.sizeBytes ?? 0);
  writeOctal(block, 136, 12, fields.mtimeSeconds ?? 0);
  block.write(fields.type, 156, "latin1");
  block.write(fields.linkName ?? "", 157, NAME_BYTES, "latin1");
  block.write("ustar\x0000", 257, "latin1");
  writeOctal(block, 329, 8, fields.deviceMajor ?? 0);
  writeOctal(block, 337, 8, fields.deviceMinor ?? 0);
  block.fill(0x20, 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** What does not fit is 0 here, and in a PAX record. */
function writeOctal(block: Buffer, at: number, length: number, value: number): void {
  const digits = value < 0 ? "0" : value.toString(8);
  block.write(`${(digits.length < length ? digits : "0").padStart(length - 1, "0")}\0`, at, "latin1");
}
