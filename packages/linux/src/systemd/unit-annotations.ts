import { variant } from "../dbus/value.ts";
import { InvalidSpec } from "../spec/invalid-spec.ts";
import type { Property } from "./manager.ts";

const PREFIX = "org.systemd.property.";
const SECOND_US = 1_000_000n;

/** Properties that an annotation may set, and their types. They change how the unit ends, and nothing else: no program, no privilege. */
const ALLOWED: Readonly<Record<string, "i" | "s" | "t">> = {
  KillSignal: "i",
  TimeoutStopUSec: "t",
  CollectMode: "s",
};

/**
 * `org.systemd.property.NAME` annotations with values in GVariant's text form, as podman writes them: `15`, `int32 15`, `uint64 10000000`,
 * `'inactive'`. `…Sec` is in seconds. Throws InvalidSpec for any other name: some of systemd's properties are commands that it runs as root
 * (CVE-2024-3154). Source: runc, docs/systemd.md.
 */
export function annotationProperties(annotations: ReadonlyMap<string, string>): Property[] {
  return [...annotations].flatMap(([key, text]) => (key.startsWith(PREFIX) ? [toProperty(key, text.trim())] : []));
}

function toProperty(key: string, text: string): Property {
  const field = `annotations[${JSON.stringify(key)}]`;
  const given = key.slice(PREFIX.length);
  const inSeconds = /[a-z]Sec$/.test(given);
  const name = inSeconds ? `${given.slice(0, -"Sec".length)}USec` : given;
  const type = Object.hasOwn(ALLOWED, name) ? ALLOWED[name] : undefined;
  if (type === undefined) throw new InvalidSpec(field, `not one of ${Object.keys(ALLOWED).join(", ")}`);
  if (type === "s") {
    const [, quoted] = /^['"]([a-z-]{1,64})['"]$/.exec(text) ?? [];
    if (quoted === undefined) throw new InvalidSpec(field, "not a quoted word", text);
    return [name, variant(type, quoted)];
  }
  const [, digits] = /^(?:(?:int32|uint32|int64|uint64) )?([0-9]{1,15})$/.exec(text) ?? [];
  if (digits === undefined) throw new InvalidSpec(field, "not a whole number", text);
  return [
    name,
    type === "i" ? variant("i", toInt32(field, digits)) : variant("t", BigInt(digits) * (inSeconds ? SECOND_US : 1n)),
  ];
}

function toInt32(field: string, digits: string): number {
  const number = Number(digits);
  if (number > 0x7fff_ffff) throw new InvalidSpec(field, "more than 32 bits", digits);
  return number;
}
