/** What a message must not be: truncated, too long, with a NUL in a string. The connection that sent it is closed. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

const utf8 = new TextDecoder();

/** Appends little-endian fields to one growing buffer. Throws ProtocolError for what the format cannot hold. */
export class ByteWriter {
  #bytes: Buffer;
  #length = 0;

  constructor(roomBytes = 64) {
    this.#bytes = Buffer.allocUnsafe(roomBytes);
  }

  #reserve(count: number): number {
    const at = this.#length;
    this.#length += count;
    if (this.#length > this.#bytes.length) {
      const grown = Buffer.allocUnsafe(Math.max(this.#length, this.#bytes.length * 2));
      this.#bytes.copy(grown, 0, 0, at);
      this.#bytes = grown;
    }
    return at;
  }
  u8(value: number): this {
    const at = this.#reserve(1);
    this.#bytes.writeUInt8(value, at);
    return this;
  }
  u16(value: number): this {
    const at = this.#reserve(2);
    this.#bytes.writeUInt16LE(value, at);
    return this;
  }
  u32(value: number): this {
    const at = this.#reserve(4);
    this.#bytes.writeUInt32LE(value, at);
    return this;
  }
  i32(value: number): this {
    const at = this.#reserve(4);
    this.#bytes.writeInt32LE(value, at);
    return this;
  }
  /** Takes -2^63 to 2^64-1: a register is signed, a field is not. */
  u64(value: bigint): this {
    const at = this.#reserve(8);
    this.#bytes.writeBigUInt64LE(BigInt.asUintN(64, value), at);
    return this;
  }
  raw(bytes: Uint8Array): this {
    const at = this.#reserve(bytes.length);
    this.#bytes.set(bytes, at);
    return this;
  }
  str(text: string): this {
    const length = Buffer.byteLength(text);
    if (length > 0xffff) throw new ProtocolError(`string of ${length} bytes: at most 65535`);
    if (text.includes("\0")) throw new ProtocolError("string with a NUL");
    this.u16(length);
    const at = this.#reserve(length);
    this.#bytes.write(text, at);
    return this;
  }
  blob(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes);
  }
  /** What was written: a view of the buffer, so write no more afterwards. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }
}

/** Reads the same fields. Throws ProtocolError past the end. Byte fields are views of the input. */
export class ByteReader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  #take(count: number): number {
    const at = this.#at;
    if (count > this.#bytes.length - at)
      throw new ProtocolError(`truncated: ${count} bytes wanted at ${at} of ${this.#bytes.length}`);
    this.#at += count;
    return at;
  }
  u8(): number {
    const at = this.#take(1);
    return this.#bytes.readUInt8(at);
  }
  u16(): number {
    const at = this.#take(2);
    return this.#bytes.readUInt16LE(at);
  }
  u32(): number {
    const at = this.#take(4);
    return this.#bytes.readUInt32LE(at);
  }
  i32(): number {
    const at = this.#take(4);
    return this.#bytes.readInt32LE(at);
  }
  u64(): bigint {
    const at = this.#take(8);
    return this.#bytes.readBigUInt64LE(at);
  }
  raw(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }
  str(): string {
    const bytes = this.raw(this.u16());
    if (bytes.includes(0)) throw new ProtocolError("string with a NUL");
    return utf8.decode(bytes);
  }
  blob(): Uint8Array {
    return this.raw(this.u32());
  }
  rest(): Uint8Array {
    return this.raw(this.#bytes.length - this.#at);
  }
  end(): void {
    if (this.#at !== this.#bytes.length) throw new ProtocolError(`${this.#bytes.length - this.#at} bytes too many`);
  }
}
