/**
 * A D-Bus value in JavaScript. y, n, q, i, u, h, d are numbers, x and t bigints, b a boolean, s, o, g strings; an array, a struct and a
 * dictionary entry are arrays, `ay` may be written from bytes and is read as such; v is a Variant.
 */
export type DBusValue = number | bigint | boolean | string | Uint8Array | Variant | readonly DBusValue[];

/** A value that brings its type along. */
export interface Variant {
  /** One complete type. */
  readonly type: string;
  readonly value: DBusValue;
}

/** A variant of one complete type. */
export function variant(type: string, value: DBusValue): Variant {
  return { type, value };
}

/** Whether a value is a variant. */
export function isVariant(value: DBusValue): value is Variant {
  return typeof value === "object" && "type" in value;
}

/** Whether a value is an array, a struct or a dictionary entry (not bytes). */
export function isList(value: DBusValue | undefined): value is readonly DBusValue[] {
  return Array.isArray(value);
}
