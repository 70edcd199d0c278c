import { InvalidSpec } from "./invalid-spec.ts";

/** The kernel's list format, "0-3,7", as numbers up to `most`; empty text is an empty list. Throws InvalidSpec naming `field`. */
export function parseNumberList(text: string, field: string, most: number): number[] {
  if (text === "") return [];
  return text.split(",").flatMap((part) => {
    const [, first, last] = /^([0-9]{1,4})(?:-([0-9]{1,4}))?$/.exec(part) ?? [];
    const [from, to] = [Number(first), Number(last ?? first)];
    if (first === undefined || from > to || to > most) throw new InvalidSpec(field, "not a list like 0-3,7", text);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}
