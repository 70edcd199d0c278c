import { DBusError } from "./dbus-error.ts";
import { splitSignature } from "./signature.ts";
import { type DBusValue, isList, isVariant, type Variant, variant } from "./value.ts";
import { ValueReader } from "./value-reader.ts";
import { ValueWriter } from "./value-writer.ts";

/** Message types. Source: D-Bus specification, "Message Types". */
export const MESSAGE = { call: 1, reply: 2, error: 3, signal: 4 } as const;

/** A message as it is on the wire. What is absent is not sent. */
export interface Message {
  readonly kind: number;
  /** Not 0. */
  readonly serial: number;
  readonly path?: string;
  readonly interface?: string;
  readonly member?: string;
  readonly errorName?: string;
  readonly replySerial?: number;
  readonly destination?: string;
  readonly sender?: string;
  /** Types of `body`. */
  readonly signature?: string;
  readonly body: readonly DBusValue[];
}

const FIXED_BYTES = 16;
const MAX_BYTES = 1 << 20;
const PROTOCOL = 1;
const LITTLE = 0x6c;
const BIG = 0x42;

/** Header fields: number, type, name here. */
const FIELDS = [
  [1, "o", "path"],
  [2, "s", "interface"],
  [3, "s", "member"],
  [4, "s", "errorName"],
  [5, "u", "replySerial"],
  [6, "s", "destination"],
  [7, "s", "sender"],
  [8, "g", "signature"],
] as const;

/** A message's bytes. Throws TypeError if the body does not fit its signature, or is larger than 1 MiB. */
export function encodeMessage(message: Message): Buffer {
  const types = splitSignature(message.signature ?? "");
  if (types.length !== message.body.length)
    throw new TypeError(`a body of ${message.body.length} values for ${types.length} types`);
  const body = new ValueWriter();
  types.forEach((type, index) => {
    body.write(type, message.body[index] ?? 0);
  });
  const fields = FIELDS.flatMap(([number, type, name]) => {
    const value = message[name];
    return value === undefined || value === "" ? [] : [[number, variant(type, value)]];
  });
  const header = new ValueWriter();
  for (const byte of [LITTLE, message.kind, 0, PROTOCOL]) header.write("y", byte);
  header.write("u", body.bytes.length);
  header.write("u", message.serial);
  header.write("a(yv)", fields);
  header.align(8);
  return Buffer.concat([header.bytes, body.bytes]);
}

/** How many bytes the message at the start of `bytes` has; undefined if too few are there to tell. Throws DBusError if they begin none, or one of more than 1 MiB. */
export function messageLength(bytes: Buffer): number | undefined {
  if (bytes.length < FIXED_BYTES) return undefined;
  const isLittle = endianness(bytes);
  const read = (at: number) => (isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  const header = FIXED_BYTES + read(12);
  const length = header + ((8 - (header % 8)) % 8) + read(4);
  if (length > MAX_BYTES) throw new DBusError(`a message of ${length} bytes`);
  return length;
}

/** A whole message, untrusted. Throws DBusError. */
export function decodeMessage(bytes: Buffer): Message {
  const isLittle = endianness(bytes);
  const reader = new ValueReader(bytes, isLittle);
  const [, kind, , , , serial, list] = reader.readAll("yyyyuua(yv)");
  reader.align(8);
  if (typeof kind !== "number" || typeof serial !== "number" || !isList(list)) throw new DBusError("no header");
  const fields = parseFields(list);
  const body = reader.readAll(fields.signature ?? "");
  if (reader.at !== bytes.length) throw new DBusError("a message is longer than its body");
  return { kind, serial, ...fields, body };
}

function parseFields(list: readonly DBusValue[]): Partial<Omit<Message, "kind" | "serial" | "body">> {
  const found: Record<string, string | number> = {};
  for (const entry of list) {
    const [number, field] = isList(entry) ? entry : [];
    const known = FIELDS.find((one) => one[0] === number);
    if (known === undefined || field === undefined || !isVariant(field)) continue; // unknown fields are to be ignored
    found[known[2]] = fieldValue(field, known[1]);
  }
  return found;
}

function fieldValue(field: Variant, type: string): string | number {
  const { value } = field;
  if (field.type !== type || (typeof value !== "string" && typeof value !== "number"))
    throw new DBusError(`a header field of type ${field.type}`);
  return value;
}

/** Whether the bytes are little endian. */
function endianness(bytes: Buffer): boolean {
  const [order, , , version] = bytes;
  if ((order !== LITTLE && order !== BIG) || version !== PROTOCOL) throw new DBusError("this is not D-Bus");
  return order === LITTLE;
}
