import { Code, ManagerError } from "../../errors/manager-error.ts";

/** A JSON object that somebody else wrote. */
export type CniObject = Readonly<Record<string, unknown>>;

/** A JSON object, or InvalidArgument; `what` names it. */
export function parseCniObject(text: string, what: string): CniObject {
  try {
    return asObject(JSON.parse(text), what);
  } catch (error) {
    if (error instanceof SyntaxError) throw badNetwork(what, "not JSON");
    throw error;
  }
}

/** The value as an object, or InvalidArgument. */
export function asObject(value: unknown, what: string): CniObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as CniObject;
  throw badNetwork(what, "not an object");
}

/** The value as a list; what is absent is an empty one. */
export function asList(value: unknown, what: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw badNetwork(what, "not a list");
}

/** The value as a string; what is absent is an empty one. */
export function asText(value: unknown, what: string): string {
  if (value === undefined || value === null) return "";
  if (typeof value === "string") return value;
  throw badNetwork(what, "not a string");
}

/** A network configuration or a plugin's answer that is not what it should be. */
export function badNetwork(what: string, why: string): ManagerError {
  return new ManagerError(Code.InvalidArgument, `${what}: ${why}`);
}
