/** JSON that a parser has accepted before: these only give it a type again, and take `null` for absent. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** An object's copy; anything else is an empty one. */
export function object(value: unknown): JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : {};
}

/** An array; anything else is an empty one. */
export function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A string; anything else is an empty one. */
export function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

/** All members but these. */
export function without(from: JsonObject, keys: readonly string[]): JsonObject {
  return Object.fromEntries(Object.entries(from).filter(([key]) => !keys.includes(key)));
}
