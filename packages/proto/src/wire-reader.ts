import { isUtf8 } from "node:buffer";

const GROUP_DEPTH = 100;

/** Reads fields into `message` until the reader is at its end. */
export type ReadFields<T> = (reader: WireReader, message: T) => T;

/** The bytes are not what protobuf's wire format allows. */
export class WireError extends Error {
  override readonly name = "WireError";
}

/**
 * Protobuf's wire format, read from hostile bytes: each method throws WireError rather than read past the end of the
 * message it is in. Bytes fields are views of the input, strings are checked to be UTF-8.
 */
export class WireReader {
  readonly #bytes: Buffer;
  pos = 0;
  /** End of the message that is being read; a nested message lowers it for its time. */
  end: number;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.end = bytes.length;
  }

  message<T>(read: ReadFields<T>, target: T): T {
    const outer = this.end;
    this.end = this.close();
    read(this, target);
    this.end = outer;
    return target;
  }

  /** The length of a nested part; returns where that part ends. */
  close(): number {
    const length = this.uint32();
    if (length > this.end - this.pos) throw new WireError(`length ${length} at ${this.pos} is beyond the end`);
    return this.pos + length;
  }

  string(): string {
    const start = this.pos;
    const end = this.close();
    const text = this.#bytes.toString("utf8", this.pos, end);
    if (text.includes("\ufffd") && !isUtf8(this.#bytes.subarray(this.pos, end))) {
      throw new WireError(`string at ${start} is not UTF-8`);
    }
    this.pos = end;
    return text;
  }

  bytes(): Uint8Array {
    const end = this.close();
    const value = this.#bytes.subarray(this.pos, end);
    this.pos = end;
    return value;
  }

  bool(): boolean {
    return this.uint64() !== 0n;
  }

  double(): number {
    const value = this.#bytes.readDoubleLE(this.#advance(8));
    return value;
  }

  /** Wider values lose their upper bits, as in every protobuf implementation. */
  uint32(): number {
    const bytes = this.#bytes;
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = bytes[this.#advance(1)] ?? 0;
      if (shift < 32) value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new WireError(`varint before ${this.pos} has more than ten bytes`);
  }

  int32(): number {
    return this.uint32() | 0;
  }

  uint64(): bigint {
    const first = this.#bytes[this.pos] ?? 0x80;
    if (first < 0x80 && this.pos < this.end) {
      this.pos++;
      return BigInt(first);
    }
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = this.#bytes[this.#advance(1)] ?? 0;
      const group = byte & 0x7f;
      if (shift < 28) low |= group << shift;
      else if (shift === 28) {
        low |= group << 28;
        high = group >>> 4;
      } else high |= group << (shift - 32);
      if (byte < 0x80) return high === 0 ? BigInt(low >>> 0) : (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
    }
    throw new WireError(`varint before ${this.pos} has more than ten bytes`);
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.uint64());
  }

  /** Field number and wire type. */
  tag(): number {
    const tag = this.uint32();
    if (tag >>> 3 === 0) throw new WireError(`field number 0 before ${this.pos}`);
    return tag;
  }

  /** Pass over the value of an unknown field. */
  skip(tag: number, depth = 0): void {
    const type = tag & 7;
    if (type === 0) this.uint64();
    else if (type === 1) this.#advance(8);
    else if (type === 2) this.pos = this.close();
    else if (type === 3 && depth < GROUP_DEPTH) this.#skipGroup(tag, depth);
    else if (type === 5) this.#advance(4);
    else throw new WireError(`wire type ${type} before ${this.pos}`);
  }

  #skipGroup(start: number, depth: number): void {
    for (;;) {
      const tag = this.tag();
      if (tag === start + 1) return;
      this.skip(tag, depth + 1);
    }
  }

  #advance(count: number): number {
    const at = this.pos;
    if (count > this.end - at) throw new WireError(`the message ends at ${this.end}, in the middle of a field`);
    this.pos = at + count;
    return at;
  }
}
