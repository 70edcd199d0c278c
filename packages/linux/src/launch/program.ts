import { InvalidSpec } from "../spec/invalid-spec.ts";
import { errnoNumber } from "../syscall/errno.ts";
import { type Architecture, SYSCALL, type SyscallName } from "../syscall/numbers.ts";
import { DataSection } from "./data.ts";
import { FORMAT, KIND, OP, type OpName } from "./opcodes.ts";
import { StepClock, type StepTiming } from "./step-clock.ts";

/** What a step is for: the field of the spec it serves (`mounts[3] "/data"`) and what it does there ("open_tree", "resolve target"). */
export interface Label {
  readonly field: string;
  readonly action: string;
}

/** A launch program as the monitor runs it (PROTOCOL.md, section 5), and a label per step that stays here. */
export interface Program {
  readonly bytes: Uint8Array;
  readonly labels: readonly Label[];
  /** The numbers in `bytes` are this architecture's. */
  readonly architecture: Architecture;
  /** Of a program that takes the time as it goes: what its clock readings are of. */
  readonly timing?: StepTiming;
}

/** A register; holds 0 before it is written. */
export interface Register {
  readonly kind: "register";
  readonly index: number;
}

/** A place in the data section: its address is passed. */
export interface Data {
  readonly kind: "data";
  readonly offset: number;
}

/** A slot's fd. */
export interface Slot {
  readonly kind: "slot";
  readonly index: number;
}

/** An argument. A number is passed as it is, sign extended. */
export type Operand = number | bigint | Register | Data | Slot;

/** What is the same for every step. `tolerate`: errnos by name that are no failure (two at most), or any. */
export interface StepOptions {
  readonly to?: Register;
  readonly tolerate?: "any" | readonly string[];
  /** Default: the system call's name, or the operation's. */
  readonly action?: string;
}

/** The place of a step, for skips. */
export type StepIndex = number;

/**
 * Writes a launch program step by step. `field` labels the steps that follow. Registers come from `register` and go back by
 * `release`. Throws InvalidSpec, with the field, if the format's limits are exceeded (64 registers, 4096 steps).
 */
export class ProgramBuilder {
  readonly architecture: Architecture;
  readonly data = new DataSection();
  /** The field that the steps from here on serve. */
  field = "";
  /** Fds of fixed numbers that CLOSE keeps for the rest of the program. */
  readonly kept: number[] = [];
  #steps = new DataView(new ArrayBuffer(128 * FORMAT.stepSize));
  #count = 0;
  #labels: Label[] = [];
  #free: Register[] = [];
  #registers = 0;
  readonly #clock: StepClock | undefined;

  /** `timed`: read the clock where the steps of another group begin, and tell by `tellTimes`. Else not a byte is different. */
  constructor(architecture: Architecture, options: { readonly timed?: boolean } = {}) {
    this.architecture = architecture;
    if (options.timed === true) this.#clock = new StepClock(this);
  }

  /** The index of the next step. */
  get next(): StepIndex {
    return this.#count;
  }

  /** A register that nobody uses. */
  register(): Register {
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#registers === FORMAT.maxRegisters)
      throw new InvalidSpec(this.field, "needs more registers than a program has");
    return { kind: "register", index: this.#registers++ };
  }

  /** How many registers are left. */
  get available(): number {
    return FORMAT.maxRegisters - this.#registers + this.#free.length;
  }

  /** Give a register back. An fd in it stays open until CLOSE or exec. */
  release(register: Register): void {
    this.#free.push(register);
  }

  /** A system call. */
  sys(name: SyscallName, args: readonly Operand[], options: StepOptions = {}): StepIndex {
    return this.#emit("SYS", SYSCALL[this.architecture][name], args, options, name);
  }

  /** A system call whose result goes to a new register. */
  call(name: SyscallName, args: readonly Operand[], options: Omit<StepOptions, "to"> = {}): Register {
    const to = this.register();
    this.sys(name, args, { ...options, to });
    return to;
  }

  /** Any other operation of the interpreter. */
  op(name: Exclude<OpName, "SYS">, args: readonly Operand[], options: StepOptions = {}): StepIndex {
    return this.#emit(name, 0, args, options, name);
  }

  /** After success of step `at`, skip what was written since. */
  skipOnSuccess(at: StepIndex): void {
    this.#steps.setUint16(at * FORMAT.stepSize + 6, this.#count - at - 1, true);
  }

  /** After a tolerated error of step `at`, skip what was written since. */
  skipOnError(at: StepIndex): void {
    this.#steps.setUint16(at * FORMAT.stepSize + 6, (this.#count - at - 1) | FORMAT.skipOnError, true);
  }

  /** Tell what the clock has shown so far. Once, where SYNC still works: before a filter. Nothing in a program that is not timed. */
  tellTimes(): void {
    this.#clock?.tell();
  }

  /** The finished program. */
  build(): Program {
    const stepsEnd = FORMAT.headerSize + this.#count * FORMAT.stepSize;
    const { bytes: data, relocations } = this.data.finish();
    const relocationOffset = stepsEnd + data.length;
    const bytes = new Uint8Array(relocationOffset + relocations.length * 4);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, FORMAT.magic, true);
    view.setUint32(4, bytes.length, true);
    view.setUint16(8, this.#count, true);
    view.setUint16(10, this.#registers, true);
    view.setUint32(12, stepsEnd, true);
    view.setUint32(16, relocations.length / 2, true);
    view.setUint32(20, relocationOffset, true);
    bytes.set(new Uint8Array(this.#steps.buffer, 0, this.#count * FORMAT.stepSize), FORMAT.headerSize);
    bytes.set(data, stepsEnd);
    relocations.forEach((value, i) => {
      view.setUint32(relocationOffset + i * 4, value, true);
    });
    const timing = this.#clock?.timing;
    return { bytes, labels: this.#labels, architecture: this.architecture, ...(timing && { timing }) };
  }

  #emit(op: OpName, nr: number, args: readonly Operand[], options: StepOptions, name: string): StepIndex {
    this.#clock?.before(this.field, name);
    const index = this.#count++;
    const at = index * FORMAT.stepSize;
    if (at + FORMAT.stepSize > this.#steps.byteLength) this.#grow();
    const steps = this.#steps;
    steps.setUint16(at, OP[op], true);
    steps.setUint16(at + 2, options.to?.index ?? FORMAT.noRegister, true);
    steps.setUint16(at + 4, nr, true);
    this.#tolerate(at + 8, options.tolerate);
    let kinds = 0;
    for (let i = 0; i < args.length; i++) kinds |= this.#argument(at + 16 + i * 8, args[i] ?? 0) << (4 * i);
    steps.setUint32(at + 12, kinds, true);
    this.#labels.push({ field: this.field, action: options.action ?? name });
    return index;
  }

  #tolerate(at: number, tolerate: StepOptions["tolerate"]): void {
    if (tolerate === undefined) return;
    if (tolerate === "any") this.#steps.setUint16(at, FORMAT.anyErrno, true);
    else
      tolerate.forEach((name, i) => {
        if (i > 1) throw new RangeError("launch program: a step tolerates two errnos");
        this.#steps.setUint16(at + 2 * i, errnoNumber(name) ?? 0, true);
      });
  }

  /** Writes one argument; its kind comes back. */
  #argument(at: number, operand: Operand): number {
    if (typeof operand === "bigint") {
      this.#steps.setBigUint64(at, BigInt.asUintN(64, operand), true);
      return KIND.immediate;
    }
    if (typeof operand === "number") {
      this.#steps.setUint32(at, operand >>> 0, true);
      this.#steps.setUint32(at + 4, Math.floor(operand / 2 ** 32) >>> 0, true);
      return KIND.immediate;
    }
    this.#steps.setUint32(at, operand.kind === "data" ? operand.offset : operand.index, true);
    return KIND[operand.kind];
  }

  #grow(): void {
    if (this.#count > FORMAT.maxSteps) throw new InvalidSpec(this.field, `needs more than ${FORMAT.maxSteps} steps`);
    const bytes = new Uint8Array(this.#steps.byteLength * 2);
    bytes.set(new Uint8Array(this.#steps.buffer));
    this.#steps = new DataView(bytes.buffer);
  }
}
