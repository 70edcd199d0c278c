import { InvalidSpec } from "./invalid-spec.ts";

/**
 * Readers of untrusted JSON. Each takes the parent object, the key and the parent's path (for errors), and throws InvalidSpec
 * if the value is present but not what it should be. JSON `null` counts as absent, as in Go's decoder. A value of a wrong type is not
 * shown: it may be an environment, which holds secrets.
 */
export type JsonObject = Readonly<Record<string, unknown>>;

/** The path of `key` below `at`: `linux.namespaces`. */
export function pathOf(at: string, key: string): string {
  return at === "" ? key : `${at}.${key}`;
}

/** A member by name; never one of Object's own. */
function member(parent: JsonObject, key: string): unknown {
  const value = Object.hasOwn(parent, key) ? parent[key] : undefined;
  return value === null ? undefined : value;
}

/** `value` as an object, or throws with the field's whole path. */
export function asObject(value: unknown, field: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidSpec(field, "not an object");
  }
  return value as JsonObject;
}

/** An object, or undefined. */
export function optionalObject(parent: JsonObject, key: string, at: string): JsonObject | undefined {
  const value = member(parent, key);
  return value === undefined ? undefined : asObject(value, pathOf(at, key));
}

/** A string without NUL, or undefined. */
export function optionalString(parent: JsonObject, key: string, at: string): string | undefined {
  const value = member(parent, key);
  return value === undefined ? undefined : asString(value, () => pathOf(at, key));
}

function asString(value: unknown, field: () => string): string {
  if (typeof value !== "string") throw new InvalidSpec(field(), "not a string");
  if (value.includes("\0")) throw new InvalidSpec(field(), "contains a NUL");
  return value;
}

/** A string that must be there and not be empty. */
export function requiredString(parent: JsonObject, key: string, at: string): string {
  const value = optionalString(parent, key, at);
  if (value === undefined || value === "") throw new InvalidSpec(pathOf(at, key), "missing");
  return value;
}

/** A boolean; absent is false. */
export function optionalBoolean(parent: JsonObject, key: string, at: string): boolean {
  const value = member(parent, key);
  if (value === undefined) return false;
  if (typeof value !== "boolean") throw new InvalidSpec(pathOf(at, key), "not a boolean");
  return value;
}

/** An integer from `least` to `most`, or undefined. */
export function optionalInteger(
  parent: JsonObject,
  key: string,
  at: string,
  least: number,
  most: number,
): number | undefined {
  const value = member(parent, key);
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isInteger(value)) {
    throw new InvalidSpec(pathOf(at, key), "not an integer", value);
  }
  if (value < least || value > most) throw new InvalidSpec(pathOf(at, key), `not between ${least} and ${most}`, value);
  return value === 0 ? 0 : value; // -0 is 0
}

/** An integer that must be there. */
export function requiredInteger(parent: JsonObject, key: string, at: string, least: number, most: number): number {
  const value = optionalInteger(parent, key, at, least, most);
  if (value === undefined) throw new InvalidSpec(pathOf(at, key), "missing");
  return value;
}

/** Each entry of an array through `parse` (the entry, and its path, to be called only for an error); absent is empty. */
export function list<T>(
  parent: JsonObject,
  key: string,
  at: string,
  parse: (entry: unknown, field: () => string) => T,
): T[] {
  const value = member(parent, key);
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new InvalidSpec(pathOf(at, key), "not an array");
  if (value.length > MAX_ENTRIES) throw new InvalidSpec(pathOf(at, key), `more than ${MAX_ENTRIES} entries`);
  return value.map((entry, i) => parse(entry, () => `${pathOf(at, key)}[${i}]`));
}

const MAX_ENTRIES = 65_536;

/** An array of strings without NUL; absent is empty. */
export function strings(parent: JsonObject, key: string, at: string): string[] {
  return list(parent, key, at, asString);
}

/** Longest path that the kernel takes, in bytes. */
const MAX_PATH = 4095;

/** The same, of at most 4095 bytes: it also goes into messages. */
export function requiredPath(parent: JsonObject, key: string, at: string): string {
  const path = requiredString(parent, key, at);
  if (Buffer.byteLength(path) > MAX_PATH) throw new InvalidSpec(pathOf(at, key), `longer than ${MAX_PATH} bytes`, path);
  return path;
}

/** An object whose names and values are strings without NUL; absent is empty. */
export function stringMap(parent: JsonObject, key: string, at: string): ReadonlyMap<string, string> {
  const value = optionalObject(parent, key, at);
  if (value === undefined) return new Map();
  return new Map(
    Object.entries(value).map(([name, text]) => {
      if (name.includes("\0")) throw new InvalidSpec(pathOf(at, key), "a name contains a NUL");
      return [name, asString(text, () => `${pathOf(at, key)}.${name}`)];
    }),
  );
}

/** True if a member is there and says something: not null, false, "", [] or {}. */
export function isSet(parent: JsonObject, key: string): boolean {
  const value = member(parent, key);
  if (value === undefined || value === false || value === "" || value === 0) return false;
  return typeof value !== "object" || value === null || Object.keys(value).length > 0;
}

/** Throws for each of `keys` that is set: a field that this version cannot honour is never silently dropped. */
export function refuse(parent: JsonObject, at: string, keys: readonly string[]): void {
  for (const key of keys) {
    if (isSet(parent, key)) throw new InvalidSpec(pathOf(at, key), "not supported yet");
  }
}
