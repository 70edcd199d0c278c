import { ALIGNMENT, splitSignature } from "./signature.ts";
import { type DBusValue, isList, isVariant } from "./value.ts";

const MAX_BYTES = 1 << 20; // far above any call of ours; the specification's limit is 128 MiB

/** Writes values one after the other, little endian, aligned to the start. Throws TypeError for a value that its type does not fit: a bug of ours. */
export class ValueWriter {
  #buffer = Buffer.alloc(256);
  #length = 0;

  /** What was written, a view. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  /** Zeros up to the next multiple of `alignment`. */
  align(alignment: number): void {
    this.#take((alignment - (this.#length % alignment)) % alignment);
  }

  /** A value of one complete type. */
  write(type: string, value: DBusValue): void {
    const letter = type.charAt(0);
    this.align(ALIGNMENT[letter] ?? 1);
    if (letter === "a") this.#array(type.slice(1), value);
    else if (letter === "(" || letter === "{") this.#members(splitSignature(type.slice(1, -1)), value);
    else if (letter === "v") this.#variant(value);
    else if (typeof value === "string") this.#text(letter, value);
    else if (typeof value === "bigint") this.#long(letter, value);
    else if (typeof value === "boolean" && letter === "b") this.#number("u", value ? 1 : 0);
    else if (typeof value === "number" && letter !== "b") this.#number(letter, value);
    else throw mismatch(letter, value);
  }

  #number(letter: string, value: number): void {
    const size = ALIGNMENT[letter] ?? 1; // of a number: also its size
    const at = this.#take(size);
    if (letter === "y") this.#buffer.writeUInt8(value, at);
    else if (letter === "q") this.#buffer.writeUInt16LE(value, at);
    else if (letter === "n") this.#buffer.writeInt16LE(value, at);
    else if (letter === "u" || letter === "h") this.#buffer.writeUInt32LE(value, at);
    else if (letter === "i") this.#buffer.writeInt32LE(value, at);
    else if (letter === "d") this.#buffer.writeDoubleLE(value, at);
    else throw mismatch(letter, value);
  }

  #long(letter: string, value: bigint): void {
    const at = this.#take(8);
    if (letter === "t") this.#buffer.writeBigUInt64LE(value, at);
    else if (letter === "x") this.#buffer.writeBigInt64LE(value, at);
    else throw mismatch(letter, value);
  }

  /** Length, bytes, a NUL that the length does not count. */
  #text(letter: string, text: string): void {
    if (!"sog".includes(letter) || text.includes("\0")) throw mismatch(letter, text);
    const bytes = Buffer.from(text);
    this.#number(letter === "g" ? "y" : "u", bytes.length);
    const at = this.#take(bytes.length + 1); // the buffer may be another one afterwards
    bytes.copy(this.#buffer, at);
  }

  #variant(value: DBusValue): void {
    if (!isVariant(value) || splitSignature(value.type).length !== 1) throw mismatch("v", value);
    this.write("g", value.type);
    this.write(value.type, value.value);
  }

  #members(types: readonly string[], value: DBusValue): void {
    if (!isList(value) || value.length !== types.length) throw mismatch(`(${types.join("")})`, value);
    types.forEach((type, index) => {
      this.write(type, value[index] ?? 0);
    });
  }

  /** The length counts neither itself nor what aligns the first element. */
  #array(type: string, value: DBusValue): void {
    if (!isList(value) && !(value instanceof Uint8Array)) throw mismatch(`a${type}`, value);
    const lengthAt = this.#take(4);
    this.align(ALIGNMENT[type.charAt(0)] ?? 1);
    const start = this.#length;
    for (const element of value) this.write(type, element);
    this.#buffer.writeUInt32LE(this.#length - start, lengthAt);
  }

  /** Room for `size` bytes, zero: where it begins. */
  #take(size: number): number {
    const at = this.#length;
    this.#length += size;
    if (this.#length > MAX_BYTES) throw new TypeError("a D-Bus message of more than 1 MiB");
    if (this.#length > this.#buffer.length) {
      const larger = Buffer.alloc(Math.max(this.#length, 2 * this.#buffer.length));
      this.#buffer.copy(larger);
      this.#buffer = larger;
    }
    return at;
  }
}

function mismatch(type: string, value: DBusValue): TypeError {
  return new TypeError(`D-Bus type ${type}: ${typeof value} ${String(value)} does not fit`);
}
