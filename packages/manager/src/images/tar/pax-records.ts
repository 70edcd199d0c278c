import { decodeName, size, TarError } from "./tar-header.ts";

/** What PAX records and GNU long names change in the header that follows. */
export interface TarOverrides {
  readonly name?: string;
  readonly linkName?: string;
  readonly sizeBytes?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  /** Extended attributes, binary. */
  readonly xattrs?: ReadonlyMap<string, Buffer>;
}

const XATTR_PREFIX = "SCHILY.xattr.";

/** Parse the body of a PAX header: `LENGTH KEY=VALUE\n` again and again, lengths in bytes, values binary. Throws TarError. */
export function parsePaxRecords(body: Buffer): TarOverrides {
  const overrides: { -readonly [Key in keyof TarOverrides]: TarOverrides[Key] } = {};
  const xattrs = new Map<string, Buffer>();
  for (const [key, value] of records(body)) {
    if (key.startsWith(XATTR_PREFIX)) xattrs.set(key.slice(XATTR_PREFIX.length), Buffer.from(value));
    else if (key.startsWith("GNU.sparse.")) throw new TarError("sparse files are not supported");
    else if (key === "path") overrides.name = decodeName(value);
    else if (key === "linkpath") overrides.linkName = decodeName(value);
    else if (key === "size") overrides.sizeBytes = size(decimal(key, value));
    else if (key === "uid" || key === "gid") overrides[key] = Math.trunc(decimal(key, value));
    else if (key === "mtime") overrides.mtime = decimal(key, value);
  }
  return xattrs.size > 0 ? { ...overrides, xattrs } : overrides;
}

function* records(body: Buffer): Generator<[string, Buffer]> {
  let at = 0;
  while (at < body.length) {
    const blank = body.indexOf(0x20, at);
    const length = blank < 0 ? Number.NaN : Number(body.toString("latin1", at, blank));
    const end = at + length;
    if (!Number.isInteger(length) || end <= blank + 1 || end > body.length || body[end - 1] !== 0x0a) {
      throw new TarError(`PAX record at byte ${at}: bad length`);
    }
    const equals = body.indexOf(0x3d, blank);
    if (equals < 0 || equals >= end) throw new TarError(`PAX record at byte ${at}: no "="`);
    yield [body.toString("utf8", blank + 1, equals), body.subarray(equals + 1, end - 1)];
    at = end;
  }
}

function decimal(key: string, value: Buffer): number {
  const text = value.toString("latin1");
  if (/^-?\d+(\.\d*)?$/.test(text)) return Number(text);
  throw new TarError(`PAX ${key} ${JSON.stringify(text)} is not a number`);
}
