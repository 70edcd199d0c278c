import { FORMAT, KIND, OP } from "../launch/opcodes.ts";
import type { Program } from "../launch/program.ts";
import { errnoName } from "../syscall/errno.ts";
import { type Architecture, SYSCALL } from "../syscall/numbers.ts";

/** An argument as the bytes have it: a number, a place in the data, a register or a slot. */
export interface RawArgument {
  readonly kind: keyof typeof KIND;
  /** As a signed 64-bit number; an offset or an index where the kind says so. */
  readonly value: bigint;
}

/** One step as the bytes have it. */
export interface RawStep {
  /** The system call's name, or the operation's. */
  readonly call: string;
  readonly isSystemCall: boolean;
  readonly register: number | undefined;
  readonly arguments: readonly RawArgument[];
  /** Errnos by name; "any" for all. */
  readonly tolerates: readonly string[];
  /** How many steps are skipped, and after what. */
  readonly skip: { readonly count: number; readonly after: "success" | "error" } | undefined;
}

const KINDS = Object.keys(KIND) as (keyof typeof KIND)[];
const OPERATIONS = new Map<number, string>(Object.entries(OP).map(([name, op]) => [op, name]));

/** The bytes of a launch program, read as the interpreter reads them. Source: PROTOCOL.md, section 5. */
export class ProgramImage {
  readonly architecture: Architecture;
  readonly stepCount: number;
  readonly registerCount: number;
  readonly lengthBytes: number;
  readonly #view: DataView;
  readonly #bytes: Buffer;
  readonly #dataOffset: number;
  readonly #dataEnd: number;
  readonly #relocations = new Map<number, number>();
  readonly #names: ReadonlyMap<number, string>;

  constructor({ bytes, architecture }: Pick<Program, "bytes" | "architecture">) {
    this.architecture = architecture;
    this.lengthBytes = bytes.length;
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length < FORMAT.headerSize || this.#view.getUint32(0, true) !== FORMAT.magic)
      throw new RangeError("not a launch program");
    this.stepCount = this.#view.getUint16(8, true);
    this.registerCount = this.#view.getUint16(10, true);
    this.#dataOffset = this.#view.getUint32(12, true);
    this.#dataEnd = this.#view.getUint32(20, true);
    for (let i = 0; i < this.#view.getUint32(16, true); i++) {
      const at = this.#dataEnd + i * 8;
      this.#relocations.set(this.#view.getUint32(at, true), this.#view.getUint32(at + 4, true));
    }
    this.#names = new Map(Object.entries(SYSCALL[architecture]).map(([name, nr]) => [nr, name]));
  }

  step(index: number): RawStep {
    const at = FORMAT.headerSize + index * FORMAT.stepSize;
    const op = this.#view.getUint16(at, true);
    const isSystemCall = op === OP.SYS;
    const nr = this.#view.getUint16(at + 4, true);
    const register = this.#view.getUint16(at + 2, true);
    const skip = this.#view.getUint16(at + 6, true);
    return {
      call: isSystemCall ? (this.#names.get(nr) ?? `syscall ${nr}`) : (OPERATIONS.get(op) ?? `operation ${op}`),
      isSystemCall,
      register: register === FORMAT.noRegister ? undefined : register,
      arguments: this.#arguments(at),
      tolerates: [8, 10].map((offset) => this.#view.getUint16(at + offset, true)).flatMap(toErrnos),
      skip: toSkip(skip),
    };
  }

  /** The NUL-terminated text at an offset of the data, if it is one. */
  text(offset: number): string {
    const at = this.#dataOffset + offset;
    const end = this.#bytes.indexOf(0, at);
    return this.#bytes.toString("utf8", at, end < 0 || end > this.#dataEnd ? this.#dataEnd : end);
  }

  /** Texts one after another, up to an empty one. */
  texts(offset: number): string[] {
    const texts: string[] = [];
    for (let at = offset; ; ) {
      const text = this.text(at);
      if (text === "") return texts;
      texts.push(text);
      at += Buffer.byteLength(text) + 1;
    }
  }

  /** Unsigned 64-bit numbers of the data. */
  words(offset: number, count: number): bigint[] {
    return Array.from({ length: count }, (_, i) => this.#view.getBigUint64(this.#dataOffset + offset + i * 8, true));
  }

  /** Unsigned 32-bit numbers of the data. */
  halves(offset: number, count: number): number[] {
    return Array.from({ length: count }, (_, i) => this.#view.getUint32(this.#dataOffset + offset + i * 4, true));
  }

  /** Raw bytes of the data. */
  bytes(offset: number, length: number): Uint8Array {
    return this.#bytes.subarray(this.#dataOffset + offset, this.#dataOffset + offset + length);
  }

  /** Where the address at an offset points to; undefined for a null pointer. */
  pointer(offset: number): number | undefined {
    return this.#relocations.get(offset);
  }

  /** The texts of a null-terminated array of addresses. */
  pointedTexts(offset: number): string[] {
    const texts: string[] = [];
    for (let at = offset; ; at += 8) {
      const target = this.pointer(at);
      if (target === undefined) return texts;
      texts.push(this.text(target));
    }
  }

  #arguments(at: number): RawArgument[] {
    const kinds = this.#view.getUint32(at + 12, true);
    return Array.from({ length: 6 }, (_, i) => ({
      kind: KINDS[(kinds >>> (4 * i)) & 15] ?? "immediate",
      value: this.#view.getBigInt64(at + 16 + i * 8, true),
    }));
  }
}

function toErrnos(errno: number): string[] {
  if (errno === 0) return [];
  return [errno === FORMAT.anyErrno ? "any" : errnoName(errno)];
}

function toSkip(skip: number): RawStep["skip"] {
  if (skip === 0) return undefined;
  return { count: skip & ~FORMAT.skipOnError, after: (skip & FORMAT.skipOnError) === 0 ? "success" : "error" };
}
