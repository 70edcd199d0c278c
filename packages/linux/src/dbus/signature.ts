import { DBusError } from "./dbus-error.ts";

/** Bytes to which a value of a type is aligned, by the type's first letter. Source: D-Bus specification, "Summary of D-Bus marshalling". */
export const ALIGNMENT: Readonly<Record<string, number>> = {
  y: 1,
  b: 4,
  n: 2,
  q: 2,
  i: 4,
  u: 4,
  h: 4,
  x: 8,
  t: 8,
  d: 8,
  s: 4,
  o: 4,
  g: 1,
  v: 1,
  a: 4,
  "(": 8,
  "{": 8,
};

const BASIC = "ybnqiuhxtdsog";
const MAX_LENGTH = 255;
const MAX_DEPTH = 32;

/**
 * Split a signature into its complete types: "sa(sv)u" is s, a(sv), u. Throws DBusError for what is none: an unknown letter, an array of
 * nothing, a bracket that is not closed, more than 255 letters or 32 levels of arrays or of brackets.
 */
export function splitSignature(signature: string): string[] {
  if (signature.length > MAX_LENGTH) throw new DBusError("a signature is longer than 255 letters");
  const types: string[] = [];
  for (let at = 0; at < signature.length; ) {
    const end = endOfType(signature, at, 0, 0);
    types.push(signature.slice(at, end));
    at = end;
  }
  return types;
}

function endOfType(signature: string, at: number, arrays: number, brackets: number): number {
  const letter = signature.charAt(at);
  if (letter !== "" && (BASIC.includes(letter) || letter === "v")) return at + 1;
  if (letter === "a" && arrays < MAX_DEPTH) {
    if (signature[at + 1] === "{") return endOfEntry(signature, at + 1, arrays + 1, brackets + 1);
    return endOfType(signature, at + 1, arrays + 1, brackets);
  }
  if (letter !== "(" || brackets === MAX_DEPTH || signature[at + 1] === ")") throw malformed(signature);
  let end = at + 1;
  while (signature[end] !== ")") end = endOfType(signature, end, arrays, brackets + 1);
  return end + 1;
}

/** `{KEY VALUE}`: only in an array, with a key that is basic. */
function endOfEntry(signature: string, at: number, arrays: number, brackets: number): number {
  const key = signature.charAt(at + 1);
  if (brackets > MAX_DEPTH || key === "" || !BASIC.includes(key)) throw malformed(signature);
  const end = endOfType(signature, at + 2, arrays, brackets);
  if (signature[end] !== "}") throw malformed(signature);
  return end + 1;
}

function malformed(signature: string): DBusError {
  return new DBusError(`${JSON.stringify(signature)} is no signature`);
}
