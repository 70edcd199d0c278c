import type { Data } from "./program.ts";

/**
 * The data section of a launch program: strings and structs that steps point at. Equal strings are stored once. Strings must
 * hold no NUL (the spec's parser sees to it); they are encoded as UTF-8.
 */
export class DataSection {
  #bytes = Buffer.alloc(8192);
  #length = 0;
  #relocations: number[] = [];
  #strings = new Map<string, Data>();

  /** A NUL-terminated string. */
  string(text: string): Data {
    const known = this.#strings.get(text);
    if (known !== undefined) return known;
    const size = Buffer.byteLength(text) + 1;
    const data = this.space(size, 1);
    this.#bytes.write(text, data.offset, "utf8");
    this.#strings.set(text, data);
    return data;
  }

  /** A copy of bytes. */
  bytes(bytes: Uint8Array, align = 8): Data {
    const data = this.space(bytes.length, align);
    this.#bytes.set(bytes, data.offset);
    return data;
  }

  /** Strings one after another, each with its NUL, and an empty one at the end. */
  strings(texts: readonly string[]): Data {
    return this.bytes(Buffer.from([...texts, ""].map((text) => `${text}\0`).join("")), 1);
  }

  /** Unsigned 64-bit numbers. */
  words(values: readonly (number | bigint)[]): Data {
    const data = this.space(values.length * 8, 8);
    values.forEach((value, i) => {
      this.#bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)), data.offset + i * 8);
    });
    return data;
  }

  /** Fill a space from its beginning. */
  write(data: Data, bytes: Uint8Array): void {
    this.#bytes.set(bytes, data.offset);
  }

  /** The first 8 bytes of a struct that is there already. */
  setWord(data: Data, value: bigint): void {
    this.#bytes.writeBigUInt64LE(BigInt.asUintN(64, value), data.offset);
  }

  /** Unsigned 32-bit numbers. */
  halves(values: readonly number[]): Data {
    const data = this.space(values.length * 4, 8);
    values.forEach((value, i) => {
      this.#bytes.writeUInt32LE(value, data.offset + i * 4);
    });
    return data;
  }

  /** Zeros. */
  space(size: number, align = 8): Data {
    const offset = Math.ceil(this.#length / align) * align;
    const end = offset + size;
    if (end > this.#bytes.length) {
      const bytes = Buffer.alloc(Math.max(end, this.#bytes.length * 2));
      bytes.set(this.#bytes);
      this.#bytes = bytes;
    }
    this.#length = end;
    return { kind: "data", offset };
  }

  /** A null-terminated array of addresses (argv). */
  pointers(targets: readonly Data[]): Data {
    const data = this.space((targets.length + 1) * 8, 8);
    targets.forEach((target, i) => {
      this.point({ kind: "data", offset: data.offset + i * 8 }, target);
    });
    return data;
  }

  /** Make the 8 bytes at `where` the address of `target`. */
  point(where: Data, target: Data): void {
    this.#relocations.push(where.offset, target.offset);
  }

  /** The section, padded to 8 bytes and never empty, and its relocations as pairs (where, target). */
  finish(): { readonly bytes: Uint8Array; readonly relocations: readonly number[] } {
    this.space(8 - (this.#length % 8), 1);
    return { bytes: this.#bytes.subarray(0, this.#length), relocations: this.#relocations };
  }
}
