import { DBusError } from "./dbus-error.ts";
import { ALIGNMENT, splitSignature } from "./signature.ts";
import { type DBusValue, variant } from "./value.ts";

const MAX_VARIANTS = 16; // in one another; nothing that we read has more than one

/** Reads values from hostile bytes, aligned to their start. Throws DBusError for what is cut short or malformed, before it allocates for it. */
export class ValueReader {
  readonly #bytes: Buffer;
  readonly #isLittle: boolean;
  #at: number;
  #depth = 0;

  constructor(bytes: Buffer, isLittle: boolean, at = 0) {
    this.#bytes = bytes;
    this.#isLittle = isLittle;
    this.#at = at;
  }

  /** Where the next value begins, before its alignment. */
  get at(): number {
    return this.#at;
  }

  /** Skip to the next multiple of `alignment`. */
  align(alignment: number): void {
    this.#take((alignment - (this.#at % alignment)) % alignment);
  }

  /** All values of a signature. */
  readAll(signature: string): DBusValue[] {
    return splitSignature(signature).map((type) => this.read(type));
  }

  /** A value of one complete type. */
  read(type: string): DBusValue {
    const letter = type.charAt(0);
    this.align(ALIGNMENT[letter] ?? 1);
    switch (letter) {
      case "a":
        return this.#array(type.slice(1));
      case "(":
      case "{":
        return this.readAll(type.slice(1, -1));
      case "v":
        return this.#variant();
      case "s":
      case "o":
        return this.#text(this.#number("u"));
      case "g":
        return this.#text(this.#number("y"));
      case "t":
      case "x":
        return this.#long(letter);
      case "b":
        return this.#boolean();
      default:
        return this.#number(letter);
    }
  }

  #number(letter: string): number {
    const size = ALIGNMENT[letter] ?? 1;
    const at = this.#take(size);
    const bytes = this.#bytes;
    const isLittle = this.#isLittle;
    if (letter === "y") return bytes.readUInt8(at);
    if (letter === "q") return isLittle ? bytes.readUInt16LE(at) : bytes.readUInt16BE(at);
    if (letter === "n") return isLittle ? bytes.readInt16LE(at) : bytes.readInt16BE(at);
    if (letter === "i") return isLittle ? bytes.readInt32LE(at) : bytes.readInt32BE(at);
    if (letter === "d") return isLittle ? bytes.readDoubleLE(at) : bytes.readDoubleBE(at);
    return isLittle ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at);
  }

  #long(letter: "t" | "x"): bigint {
    const at = this.#take(8);
    const value = this.#isLittle ? this.#bytes.readBigUInt64LE(at) : this.#bytes.readBigUInt64BE(at);
    return letter === "t" ? value : BigInt.asIntN(64, value);
  }

  #boolean(): boolean {
    const number = this.#number("u");
    if (number > 1) throw new DBusError(`a boolean is ${number}`);
    return number === 1;
  }

  #text(length: number): string {
    const at = this.#take(length + 1);
    const bytes = this.#bytes.subarray(at, at + length);
    if (bytes.includes(0) || this.#bytes[at + length] !== 0)
      throw new DBusError("a string has no NUL at its end, or one inside");
    return bytes.toString();
  }

  #variant(): DBusValue {
    const signature = this.#text(this.#number("y"));
    const [type, ...more] = splitSignature(signature);
    if (type === undefined || more.length > 0) throw new DBusError(`a variant of type ${JSON.stringify(signature)}`);
    if (++this.#depth > MAX_VARIANTS) throw new DBusError("variants are nested too deeply");
    const value = this.read(type);
    this.#depth--;
    return variant(type, value);
  }

  #array(type: string): DBusValue {
    const length = this.#number("u");
    this.align(ALIGNMENT[type.charAt(0)] ?? 1);
    const start = this.#at;
    const end = start + length;
    if (end > this.#bytes.length) throw cutShort();
    if (type === "y") return new Uint8Array(this.#bytes.subarray(start, this.#take(length) + length));
    const values: DBusValue[] = [];
    while (this.#at < end) values.push(this.read(type)); // every type takes a byte at least, so this ends
    if (this.#at !== end) throw new DBusError("an array's elements are longer than the array");
    return values;
  }

  /** The next `size` bytes: where they begin. */
  #take(size: number): number {
    const at = this.#at;
    if (at + size > this.#bytes.length) throw cutShort();
    this.#at = at + size;
    return at;
  }
}

function cutShort(): DBusError {
  return new DBusError("a message is cut short");
}
