// biome-ignore-all format: one case a line reads as the table that it is
import { SECCOMP_RETURN } from "./profile.ts";

/** What the kernel hands to a filter (struct seccomp_data). Without `args` (and for the instruction pointer) any value is tried. */
export interface FilterInput {
  /** AUDIT_ARCH_… */
  readonly arch: number;
  readonly nr: number;
  readonly args?: readonly bigint[] | undefined;
}

/** AUDIT_ARCH_… of the architectures that we run on. Source: linux/audit.h. */
export const AUDIT_ARCH = { x86_64: 0xc000_003e, arm64: 0xc000_00b7, x86: 0x4000_0003, arm: 0x4000_0028 } as const;

const MAX_INSTRUCTIONS = 4096;

/** Whether bytes can be a classic BPF program: 8 bytes an instruction, 1 to 4096 of them. The kernel checks the rest. */
export function isFilterProgram(program: Uint8Array): boolean {
  return program.length > 0 && program.length % 8 === 0 && program.length <= MAX_INSTRUCTIONS * 8;
}

/** The filter's verdict (SECCOMP_RETURN plus data) for one call. Throws RangeError on a program no kernel would take. */
export function evaluateFilter(program: Uint8Array, input: Required<FilterInput>): number {
  const [verdict] = possibleVerdicts(program, input);
  if (verdict === undefined) throw new RangeError("filter without a verdict");
  return verdict;
}

/** Whether a call passes whatever its arguments: its only possible verdicts are ALLOW and LOG. */
export function alwaysPasses(program: Uint8Array, arch: number, nr: number): boolean {
  const verdicts = possibleVerdicts(program, { arch, nr });
  return verdicts.every((verdict) => verdict === SECCOMP_RETURN.allow || verdict === SECCOMP_RETURN.log);
}

interface State {
  readonly pc: number;
  /** Accumulator, index register, scratch memory; undefined is "any value". */
  readonly a: number | undefined;
  readonly x: number | undefined;
  readonly memory: readonly (number | undefined)[];
}

/**
 * All verdicts that a call can get: a branch on an unknown value goes both ways. Jumps only go forward, so this ends; states
 * seen before are not walked again. Throws RangeError for an instruction that seccomp does not have.
 */
export function possibleVerdicts(program: Uint8Array, input: FilterInput): number[] {
  if (!isFilterProgram(program)) throw new RangeError(`a filter of ${program.length} bytes`);
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const verdicts = new Set<number>();
  const seen = new Set<string>();
  const todo: State[] = [{ pc: 0, a: 0, x: 0, memory: [] }];
  for (let state = todo.pop(); state !== undefined; state = todo.pop()) {
    const key = `${state.pc} ${state.a} ${state.x} ${state.memory}`;
    if (seen.has(key)) continue;
    seen.add(key);
    if (state.pc * 8 >= program.length) throw new RangeError(`filter runs past its end, ${state.pc}`);
    const result = step(view, state, input);
    if (typeof result === "number") verdicts.add(result);
    else todo.push(...result);
  }
  return [...verdicts];
}

/** The states that can follow, or the verdict. */
function step(view: DataView, state: State, input: FilterInput): State[] | number {
  const { pc, a, x, memory } = state;
  const code = view.getUint16(pc * 8, true);
  const k = view.getUint32(pc * 8 + 4, true);
  const next = (change: Partial<State>): State[] => [{ ...state, pc: pc + 1, ...change }];
  const operand = code & 8 ? x : k;
  switch (code & 7) {
    case 0: return next({ a: load(code, k, memory, input) });
    case 1: return next({ x: load(code, k, memory, input) });
    case 2: return next({ memory: Object.assign([...memory], { [k]: a }) });
    case 3: return next({ memory: Object.assign([...memory], { [k]: x }) });
    case 4: return next({ a: calculate(code, a, operand) });
    case 5: {
      if ((code & 0xf0) === 0) return next({ pc: pc + 1 + k });
      const holds = compare(code, a, operand);
      const yes = next({ pc: pc + 1 + view.getUint8(pc * 8 + 2) });
      const no = next({ pc: pc + 1 + view.getUint8(pc * 8 + 3) });
      return holds === undefined ? [...yes, ...no] : holds ? yes : no;
    }
    case 6: {
      const verdict = code & 0x10 ? a : k;
      if (verdict === undefined) throw new RangeError("filter returns an argument");
      return verdict;
    }
    default: return next(code & 0x80 ? { a: x } : { x: a });
  }
}

function load(code: number, k: number, memory: readonly (number | undefined)[], input: FilterInput): number | undefined {
  switch (code & 0xe0) {
    case 0x00: return k;
    case 0x60: return memory[k];
    case 0x80: return 64;
    case 0x20: {
      if (k === 0) return input.nr >>> 0;
      if (k === 4) return input.arch >>> 0;
      if (k % 4 !== 0 || k > 60) throw new RangeError(`filter loads from offset ${k}`);
      if (k < 16) return undefined;
      const argument = input.args && BigInt.asUintN(64, input.args[(k - 16) >> 3] ?? 0n);
      return argument === undefined ? undefined : Number(k % 8 === 0 ? argument & 0xffff_ffffn : argument >> 32n);
    }
    default: throw new RangeError(`filter instruction 0x${code.toString(16)}`);
  }
}

function calculate(code: number, a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined) return undefined;
  switch (code & 0xf0) {
    case 0x00: return (a + b) >>> 0;
    case 0x10: return (a - b) >>> 0;
    case 0x20: return Math.imul(a, b) >>> 0;
    case 0x30: return b === 0 ? 0 : Math.floor(a / b);
    case 0x40: return (a | b) >>> 0;
    case 0x50: return (a & b) >>> 0;
    case 0x60: return b > 31 ? 0 : (a << b) >>> 0;
    case 0x70: return b > 31 ? 0 : a >>> b;
    case 0x80: return -a >>> 0;
    case 0xa0: return (a ^ b) >>> 0;
    default: throw new RangeError(`filter instruction 0x${code.toString(16)}`);
  }
}

function compare(code: number, a: number | undefined, b: number | undefined): boolean | undefined {
  if (a === undefined || b === undefined) return undefined;
  switch (code & 0xf0) {
    case 0x10: return a === b;
    case 0x20: return a > b;
    case 0x30: return a >= b;
    case 0x40: return (a & b) !== 0;
    default: throw new RangeError(`filter instruction 0x${code.toString(16)}`);
  }
}
