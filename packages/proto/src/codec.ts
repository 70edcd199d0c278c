import { type ReadFields, WireReader } from "./wire-reader.ts";
import { EncodedMessage, WireWriter, type WriteFields } from "./wire-writer.ts";

/**
 * What may be given where a message is to be encoded: every field may be left out, and a 64-bit field takes a bigint or a
 * safe integer. What `decode` returns has every field, so a decoded message can be encoded as it is.
 */
export type Init<T> = T extends bigint
  ? bigint | number
  : T extends string | number | boolean | Uint8Array | undefined
    ? T
    : T extends readonly (infer Item)[]
      ? readonly Init<Item>[]
      : { readonly [Key in keyof T]?: Init<T[Key]> | undefined };

/** One message type: bytes from a value, a value from bytes. `decode` throws on malformed input. */
export interface Codec<T> {
  encode(message: Init<T>): Uint8Array;
  decode(bytes: Uint8Array): T;
}

/** One RPC; `name` is the wire's. */
export interface MethodDescriptor<
  Req,
  Res,
  ClientStreaming extends boolean = boolean,
  ServerStreaming extends boolean = boolean,
> {
  readonly name: string;
  readonly request: Codec<Req>;
  readonly response: Codec<Res>;
  readonly clientStreaming: ClientStreaming;
  readonly serverStreaming: ServerStreaming;
}

/** One service, for ttrpc and gRPC alike. `name` is `package.Service`; the keys of `methods` begin in lower case. */
export interface ServiceDescriptor<
  Methods extends Record<string, MethodDescriptor<unknown, unknown>> = Record<
    string,
    MethodDescriptor<unknown, unknown>
  >,
> {
  readonly name: string;
  readonly methods: Readonly<Methods>;
}

/** Bytes of a message, where one is to be encoded within another: from a store that has it encoded, they need not be decoded first. */
export function encoded<T extends object>(bytes: Uint8Array): Init<T> {
  return new EncodedMessage(bytes) as unknown as Init<T>;
}

const writer = new WireWriter();

/** The codec of one message; only generated code makes these. */
export class MessageCodec<T> implements Codec<T> {
  /** Full protobuf name, which is also the type_url in an Any. */
  readonly typeName: string;
  /** Adds the fields to a writer. */
  readonly write: WriteFields<Init<T>>;
  readonly #read: ReadFields<T>;
  readonly #empty: () => T;

  constructor(typeName: string, write: WriteFields<Init<T>>, read: ReadFields<T>, empty: () => T) {
    this.typeName = typeName;
    this.write = write;
    this.#read = read;
    this.#empty = empty;
  }

  /**
   * Fields that have their default value are left out. Throws RangeError if a number does not fit its type. With
   * `headroomBytes` the result begins with so many bytes for the caller to fill in.
   */
  encode(message: Init<T>, headroomBytes = 0): Buffer {
    return writer.encode(this.write, message, headroomBytes);
  }

  /** Unknown fields are dropped, absent ones get their default; bytes fields are views of `bytes`. Throws WireError. */
  decode(bytes: Uint8Array): T {
    return this.#read(new WireReader(bytes), this.#empty());
  }
}

/** Store a map's entry, whatever the key is called. */
function setEntry<T>(map: Record<string, T>, key: string, value: T): void {
  if (key !== "__proto__") map[key] = value;
  else Object.defineProperty(map, key, { value, enumerable: true, configurable: true, writable: true });
}

/** Read one entry of a map with string keys; `value` is what an entry without a value means. */
export function readEntry<T>(r: WireReader, map: Record<string, T>, value: T, valueTag: number, read: () => T): void {
  const outer = r.end;
  r.end = r.close();
  let key = "";
  while (r.pos < r.end) {
    const tag = r.tag();
    if (tag === 10) key = r.string();
    else if (tag === valueTag) value = read();
    else r.skip(tag);
  }
  r.end = outer;
  setEntry(map, key, value);
}
