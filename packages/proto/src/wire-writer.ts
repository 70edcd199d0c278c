const STEP = 4096;
/** A scratch buffer larger than this is given back after the message. */
const KEPT_BYTES = 256 * 1024;
const U32 = 0xffffffff;

/** A nested message that is there as bytes already; they go out as they are. */
export class EncodedMessage {
  readonly bytes: Uint8Array;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
  }
}

/** Writes one message's fields, last field first. */
export type WriteFields<T> = (writer: WireWriter, message: T) => void;

/**
 * Protobuf's wire format, written from the end to the front, so that the length of a nested message is known when its
 * turn comes. Every method takes the whole tag (field number and wire type). A value outside of its type's range throws
 * RangeError: nothing wraps around.
 */
export class WireWriter {
  #bytes: Buffer = Buffer.allocUnsafeSlow(STEP);
  #size = STEP;
  /** First byte written so far; counts down. */
  #at = STEP;

  /** How far from the end writing has come: 0 and below. Unlike a place in the buffer it stays what it is when the buffer grows. */
  get pos(): number {
    return this.#at - this.#size;
  }

  /** Encode one message into bytes of its own. */
  encode<T>(write: WriteFields<T>, message: T, headroomBytes = 0): Buffer {
    this.#at = this.#size;
    write(this, message);
    const length = this.#size - this.#at;
    const out = Buffer.allocUnsafe(headroomBytes + length);
    this.#bytes.copy(out, headroomBytes, this.#at, this.#size);
    if (this.#size > KEPT_BYTES) {
      this.#bytes = Buffer.allocUnsafeSlow(STEP);
      this.#size = STEP;
    }
    return out;
  }

  /** Close what was written since `end` as a length-delimited field: a message, a map entry, a packed list. */
  close(tag: number, end: number): void {
    this.varint(end - this.pos);
    this.varint(tag);
  }

  message<T>(tag: number, write: WriteFields<T>, message: T): void {
    if (message instanceof EncodedMessage) {
      this.bytes(tag, message.bytes);
      return;
    }
    const end = this.pos;
    write(this, message);
    this.close(tag, end);
  }

  string(tag: number, value: string): void {
    const length = value.length;
    if (length > 32 || !this.#ascii(value)) {
      const size = Buffer.byteLength(value);
      this.#reserve(size);
      this.#at -= size;
      this.#bytes.write(value, this.#at, size, "utf8");
      this.varint(size);
    } else {
      this.varint(length);
    }
    this.varint(tag);
  }

  bytes(tag: number, value: Uint8Array): void {
    this.#reserve(value.length);
    this.#at -= value.length;
    this.#bytes.set(value, this.#at);
    this.varint(value.length);
    this.varint(tag);
  }

  bool(tag: number, value: boolean): void {
    this.varint(value ? 1 : 0);
    this.varint(tag);
  }

  uint32(tag: number, value: number): void {
    if (value >>> 0 !== value) throw new RangeError(`${value} is no uint32`);
    this.varint(value);
    this.varint(tag);
  }

  int32(tag: number, value: number): void {
    this.rawInt32(value);
    this.varint(tag);
  }

  uint64(tag: number, value: number | bigint): void {
    this.rawUint64(value);
    this.varint(tag);
  }

  int64(tag: number, value: number | bigint): void {
    this.rawInt64(value);
    this.varint(tag);
  }

  double(tag: number, value: number): void {
    this.#reserve(8);
    this.#at -= 8;
    this.#bytes.writeDoubleLE(value, this.#at);
    this.varint(tag);
  }

  /** A negative number takes ten bytes, as everywhere in protobuf. Enums are written by this too. */
  rawInt32(value: number): void {
    if ((value | 0) !== value) throw new RangeError(`${value} is no int32`);
    if (value < 0) this.#varint64(value >>> 0, U32);
    else this.varint(value);
  }

  rawUint64(value: number | bigint): void {
    if (typeof value === "number") {
      if (value < 0 || !Number.isSafeInteger(value)) throw new RangeError(`${value} is no exact uint64`);
      if (value <= U32) this.varint(value);
      else this.#varint64(value >>> 0, Math.floor(value / 0x100000000));
    } else {
      if (BigInt.asUintN(64, value) !== value) throw new RangeError(`${value} is no uint64`);
      this.#bigint(value);
    }
  }

  rawInt64(value: number | bigint): void {
    if (typeof value === "number") {
      if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is no exact int64`);
      this.#varint64(value >>> 0, Math.floor(value / 0x100000000) >>> 0);
    } else {
      if (BigInt.asIntN(64, value) !== value) throw new RangeError(`${value} is no int64`);
      this.#bigint(BigInt.asUintN(64, value));
    }
  }

  /** 0 to 2^32-1. */
  varint(value: number): void {
    this.#reserve(5);
    const bytes = this.#bytes;
    if (value < 0x80) {
      bytes[--this.#at] = value;
      return;
    }
    const size = value < 0x4000 ? 2 : value < 0x200000 ? 3 : value < 0x10000000 ? 4 : 5;
    this.#at -= size;
    let at = this.#at;
    for (; value >= 0x80; value >>>= 7) bytes[at++] = (value & 0x7f) | 0x80;
    bytes[at] = value;
  }

  #bigint(value: bigint): void {
    this.#varint64(Number(value & 0xffffffffn), Number(value >> 32n));
  }

  #varint64(low: number, high: number): void {
    if (high === 0) {
      this.varint(low);
      return;
    }
    this.#reserve(10);
    const bytes = this.#bytes;
    const middle = ((high << 4) | (low >>> 28)) >>> 0; // bits 28 to 55 are four groups of seven, like the first four
    const groups = [low, low >>> 7, low >>> 14, low >>> 21, middle, middle >>> 7, middle >>> 14, middle >>> 21];
    groups.push(high >>> 24, high >>> 31);
    let size = 10;
    while (((groups[size - 1] ?? 0) & 0x7f) === 0) size--;
    this.#at -= size;
    for (let i = 0; i < size; i++) bytes[this.#at + i] = ((groups[i] ?? 0) & 0x7f) | (i < size - 1 ? 0x80 : 0);
  }

  /** Short text of one byte per character is faster here than across the border to C++. */
  #ascii(value: string): boolean {
    const length = value.length;
    this.#reserve(length);
    const bytes = this.#bytes;
    const start = this.#at - length;
    for (let i = 0; i < length; i++) {
      const unit = value.charCodeAt(i);
      if (unit > 0x7f) return false;
      bytes[start + i] = unit;
    }
    this.#at = start;
    return true;
  }

  #reserve(count: number): void {
    if (this.#at < count) this.#grow(count);
  }

  #grow(count: number): void {
    const used = this.#size - this.#at;
    const size = Math.max(this.#size * 2, used + count + STEP);
    const bytes = Buffer.allocUnsafeSlow(size);
    this.#bytes.copy(bytes, size - used, this.#at, this.#size);
    this.#bytes = bytes;
    this.#size = size;
    this.#at = size - used;
  }
}
