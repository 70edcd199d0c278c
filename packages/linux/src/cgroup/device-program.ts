import { DEVICE_ACCESS, type DeviceSet } from "./device-set.ts";

// Instruction codes of the eBPF instruction set (Documentation/bpf/standardization/instruction-set.rst).
const LOAD_WORD = 0x61;
const AND = 0x54;
const SHIFT_RIGHT = 0x74;
const MOVE_REGISTER = 0xbc;
const MOVE = 0xb7;
const EXIT = 0x95;
const JUMP_NOT_EQUAL = 0x56; // 32 bits, 5.1
const JUMP_NOT_EQUAL_REGISTER = 0x5e;
const JUMP_EQUAL = 0x16;

/** One eBPF instruction before encoding. */
interface Instruction {
  readonly code: number;
  readonly to?: number;
  readonly from?: number;
  readonly offset?: number;
  readonly immediate?: number;
}

/**
 * Compile a device set to an eBPF program of type CGROUP_DEVICE: 8 bytes an instruction, at most 6 + 8 per exception + 2.
 * It returns 1 (allow) or 0. An exception matches as v1 matches: all of the access under default deny, any under allow.
 * Source: struct bpf_cgroup_dev_ctx in linux/bpf.h; runtime checklist 3.3.
 */
export function compileDeviceProgram(set: DeviceSet): Uint8Array {
  const program: Instruction[] = [
    { code: LOAD_WORD, to: 2, from: 1, offset: 0 },
    { code: MOVE_REGISTER, to: 3, from: 2 },
    { code: AND, to: 2, immediate: 0xffff },
    { code: SHIFT_RIGHT, to: 3, immediate: 16 },
    { code: LOAD_WORD, to: 4, from: 1, offset: 4 },
    { code: LOAD_WORD, to: 5, from: 1, offset: 8 },
  ];
  const everything = DEVICE_ACCESS.m | DEVICE_ACCESS.r | DEVICE_ACCESS.w;
  for (const { type, major, minor, access } of set.exceptions) {
    const tests: Instruction[] = [{ code: JUMP_NOT_EQUAL, to: 2, immediate: type === "b" ? 1 : 2 }];
    if (access !== everything) {
      const miss = set.defaultAllow
        ? { code: JUMP_EQUAL, to: 1, immediate: 0 }
        : { code: JUMP_NOT_EQUAL_REGISTER, to: 1, from: 3 };
      tests.push({ code: MOVE_REGISTER, to: 1, from: 3 }, { code: AND, to: 1, immediate: access }, miss);
    }
    if (major !== -1) tests.push({ code: JUMP_NOT_EQUAL, to: 4, immediate: major });
    if (minor !== -1) tests.push({ code: JUMP_NOT_EQUAL, to: 5, immediate: minor });
    const next = tests.length + 2; // past the verdict and its exit
    tests.forEach((test, index) => {
      const jumps = test.code === JUMP_NOT_EQUAL || test.code === JUMP_EQUAL || test.code === JUMP_NOT_EQUAL_REGISTER;
      program.push(jumps ? { ...test, offset: next - index - 1 } : test);
    });
    program.push({ code: MOVE, to: 0, immediate: set.defaultAllow ? 0 : 1 }, { code: EXIT });
  }
  program.push({ code: MOVE, to: 0, immediate: set.defaultAllow ? 1 : 0 }, { code: EXIT });
  return encode(program);
}

function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(({ code, to = 0, from = 0, offset = 0, immediate = 0 }, index) => {
    bytes.writeUInt8(code, index * 8);
    bytes.writeUInt8((from << 4) | to, index * 8 + 1);
    bytes.writeInt16LE(offset, index * 8 + 2);
    bytes.writeInt32LE(immediate | 0, index * 8 + 4);
  });
  return bytes;
}
