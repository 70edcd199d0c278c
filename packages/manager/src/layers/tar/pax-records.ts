import type { ByteString } from "./byte-string.ts";
import { type Extent, parseSparseList } from "./sparse-map.ts";
import { TarError, toId, toSize } from "./tar-header.ts";

/** What PAX records and GNU long names change in the header that follows. */
export interface TarOverrides {
  readonly name?: ByteString;
  readonly linkName?: ByteString;
  readonly sizeBytes?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtimeSeconds?: number;
  readonly mtimeNanoseconds?: number;
  /** Seconds; a fraction is dropped. */
  readonly atimeSeconds?: number;
  /** Extended attributes, binary. */
  readonly xattrs?: ReadonlyMap<ByteString, Buffer>;
  readonly sparse?: PaxSparse;
}

/** GNU tar's records of a file with holes. `extents` is undefined in format 1.0, where the map is in the body. */
export interface PaxSparse {
  readonly realSizeBytes?: number;
  readonly extents?: readonly Extent[];
}

type Draft = { -readonly [Key in keyof TarOverrides]: TarOverrides[Key] };
interface SparseDraft {
  seen: boolean;
  major: string;
  minor: string;
  realSizeBytes: number | undefined;
  name: ByteString | undefined;
  extents: Extent[];
  offset: number | undefined;
}

const XATTR_PREFIX = "SCHILY.xattr.";
const SPARSE_PREFIX = "GNU.sparse.";

/** Parse the body of a PAX header: `LENGTH KEY=VALUE\n` again and again, lengths in bytes, values binary. Throws TarError. */
export function parsePaxRecords(body: Buffer): TarOverrides {
  const draft: Draft = {};
  const sparse: SparseDraft = {
    seen: false,
    major: "",
    minor: "",
    realSizeBytes: undefined,
    name: undefined,
    extents: [],
    offset: undefined,
  };
  const xattrs = new Map<ByteString, Buffer>();
  for (const [key, value] of records(body)) {
    if (key.startsWith(XATTR_PREFIX)) xattrs.set(withoutNul(key, key.slice(XATTR_PREFIX.length)), Buffer.from(value));
    else if (key.startsWith(SPARSE_PREFIX)) addSparse(sparse, key.slice(SPARSE_PREFIX.length), value);
    else if (value.length > 0) addOverride(draft, key, value); // an empty value means: as in the header
  }
  if (sparse.seen) finishSparse(draft, sparse);
  if (xattrs.size > 0) draft.xattrs = xattrs;
  return draft;
}

function addOverride(draft: Draft, key: string, value: Buffer): void {
  if (key === "path") draft.name = withoutNul(key, value.toString("latin1"));
  else if (key === "linkpath") draft.linkName = withoutNul(key, value.toString("latin1"));
  else if (key === "size") draft.sizeBytes = toSize(decimal(key, value));
  else if (key === "uid" || key === "gid") draft[key] = toId(decimal(key, value), key);
  else if (key === "atime") draft.atimeSeconds = time(key, value).seconds;
  else if (key === "mtime") {
    const { seconds, nanoseconds } = time(key, value);
    draft.mtimeSeconds = seconds;
    draft.mtimeNanoseconds = nanoseconds;
  }
}

function addSparse(sparse: SparseDraft, key: string, value: Buffer): void {
  sparse.seen = true;
  if (key === "major" || key === "minor") sparse[key] = value.toString("latin1");
  else if (key === "name") sparse.name = withoutNul(key, value.toString("latin1"));
  else if (key === "size" || key === "realsize") sparse.realSizeBytes = toSize(decimal(key, value));
  else if (key === "map") sparse.extents = parseSparseList(value.toString("latin1"));
  else if (key === "offset") sparse.offset = toSize(decimal(key, value));
  else if (key === "numbytes") {
    if (sparse.offset === undefined) throw new TarError("GNU.sparse.numbytes without GNU.sparse.offset");
    sparse.extents.push({ offset: sparse.offset, sizeBytes: toSize(decimal(key, value)) });
    sparse.offset = undefined;
  }
}

function finishSparse(draft: Draft, sparse: SparseDraft): void {
  const version = `${sparse.major || "0"}.${sparse.minor || "0"}`;
  if (!["0.0", "0.1", "1.0"].includes(version)) throw new TarError(`sparse format ${version} is not supported`);
  if (sparse.name !== undefined) draft.name = sparse.name;
  draft.sparse = {
    ...(sparse.realSizeBytes === undefined ? {} : { realSizeBytes: sparse.realSizeBytes }),
    ...(version === "1.0" ? {} : { extents: sparse.extents }),
  };
}

function* records(body: Buffer): Generator<[string, Buffer]> {
  let at = 0;
  while (at < body.length) {
    const blank = body.indexOf(0x20, at);
    const digits = blank < 0 ? "" : body.toString("latin1", at, blank);
    const end = /^\d{1,7}$/.test(digits) ? at + Number(digits) : 0;
    if (end <= blank + 1 || end > body.length || body[end - 1] !== 0x0a) {
      throw new TarError(`PAX record at byte ${at}: bad length`);
    }
    const equals = body.indexOf(0x3d, blank);
    if (equals < 0 || equals >= end) throw new TarError(`PAX record at byte ${at}: no "="`);
    yield [body.toString("latin1", blank + 1, equals), body.subarray(equals + 1, end - 1)];
    at = end;
  }
}

function withoutNul(key: string, value: ByteString): ByteString {
  if (!value.includes("\0")) return value;
  throw new TarError(`PAX ${JSON.stringify(key)}: a NUL in ${JSON.stringify(value)}`);
}

function decimal(key: string, value: Buffer): number {
  const text = value.toString("latin1");
  if (/^-?\d{1,16}$/.test(text)) return Number(text);
  throw new TarError(`PAX ${key} ${JSON.stringify(text)} is not a whole number`);
}

/** `-1.5` is one and a half second before 1970, so -2 s and 500000000 ns. */
function time(key: string, value: Buffer): { seconds: number; nanoseconds: number } {
  const match = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(value.toString("latin1"));
  if (match === null) throw new TarError(`PAX ${key} ${JSON.stringify(value.toString("latin1"))} is not a number`);
  const [, sign, whole, fraction = ""] = match;
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, "0"));
  if (sign !== "-") return { seconds: Number(whole), nanoseconds };
  return nanoseconds === 0
    ? { seconds: 0 - Number(whole), nanoseconds }
    : { seconds: -Number(whole) - 1, nanoseconds: 1e9 - nanoseconds };
}
