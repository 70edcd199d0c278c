/** Numbers below a limit; the same ones for the same seed (mulberry32), so that a finding can be repeated. */
export function randomNumbers(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

type Random = (limit: number) => number;
type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const MAX_BYTES = 1 << 16;
const STEPS = [1, -1, 2 ** 16, 2 ** 32, 0.5];
const PIECES = [
  "\0",
  "\n",
  "/",
  "..",
  "../",
  "=",
  ":",
  ",",
  '"',
  "\\",
  "%",
  "%zz",
  "{",
  "[",
  "-",
  "é",
  "\u{1f600}",
  "__proto__",
];
const KINDS = ["0123456789", "abcdef", "ghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"];
const VALUES: readonly Json[] = [
  null,
  true,
  0,
  -1,
  -0,
  1.5,
  1e300,
  2 ** 31,
  2 ** 32,
  2 ** 53,
  2 ** 64,
  "",
  "x",
  "\0",
  "../..",
  [],
  {},
  [[]],
];

/** A changed copy of an input: as JSON by its structure if it is some, or as bytes. */
export function mutate(random: Random, input: Buffer, other: Buffer): Buffer {
  const json = random(4) === 0 ? undefined : parse(input);
  if (json === undefined) return mutateBytes(random, input, other);
  let value = json;
  for (let times = 1 + random(3); times > 0; times--) value = mutateJson(random, value, parse(other) ?? null);
  return Buffer.from(JSON.stringify(value)).subarray(0, MAX_BYTES);
}

function parse(bytes: Buffer): Json | undefined {
  try {
    const value = JSON.parse(bytes.toString()) as Json;
    return typeof value === "object" ? value : undefined;
  } catch {
    return undefined;
  }
}

function mutateBytes(random: Random, input: Buffer, other: Buffer): Buffer {
  let bytes = Buffer.from(input);
  for (let times = 1 + random(4); times > 0; times--) {
    const at = random(bytes.length + 1);
    const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
    const way = random(9);
    if (way === 0 && at < bytes.length) bytes[at] = random(256);
    else if (way >= 6)
      bytes[at] = sameKind(random, bytes[at]); // at the end: nothing
    else if (way <= 1) bytes = Buffer.concat([head, Buffer.from(PIECES[random(PIECES.length)] ?? ""), tail]);
    else if (way === 2) bytes = Buffer.concat([head, tail.subarray(random(16))]);
    else if (way === 3) bytes = Buffer.concat([head, tail.subarray(0, random(40)), tail]);
    else if (way === 4) bytes = Buffer.concat([head, other.subarray(random(other.length + 1))]);
    else bytes = Buffer.concat([head, Buffer.alloc(random(300), bytes[at] ?? 0x61), tail]);
  }
  return bytes.subarray(0, MAX_BYTES);
}

/** A digit for a digit, a letter for a letter: what has a strict form, such as a digest, keeps it. */
function sameKind(random: Random, byte = 0): number {
  const kind = KINDS.find((each) => each.includes(String.fromCharCode(byte)));
  return kind?.charCodeAt(random(kind.length)) ?? byte;
}

/** One place somewhere inside is replaced, removed, doubled, or gets a part of another document. */
function mutateJson(random: Random, value: Json, other: Json): Json {
  if (value === null || typeof value !== "object" || random(12) === 0) return leaf(random, value, other);
  if (Array.isArray(value)) {
    if (value.length === 0) return [leaf(random, null, other)];
    const at = random(value.length);
    if (random(6) === 0) return [...value, value[at] ?? null];
    return value.map((item, index) => (index === at ? mutateJson(random, item, other) : item));
  }
  const keys = Object.keys(value);
  const key = keys[random(keys.length + 1)] ?? "__proto__";
  if (random(10) === 0) return Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
  return Object.fromEntries([...Object.entries(value), [key, mutateJson(random, value[key] ?? null, other)]]);
}

function leaf(random: Random, value: Json, other: Json): Json {
  const way = random(4);
  if (way === 0 && typeof value === "string")
    return mutateBytes(random, Buffer.from(value), Buffer.from("x")).toString();
  if (way === 1 && typeof value === "number") return value + (STEPS[random(STEPS.length)] ?? 1);
  if (way === 2 && typeof other === "object" && other !== null) return Object.values(other)[random(8)] ?? null;
  return VALUES[random(VALUES.length)] ?? null;
}
