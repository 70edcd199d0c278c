import { SECCOMP_RETURN } from "./profile.ts";

const LOAD = 0x20;
const JUMP = 0x05;
const JUMP_EQUAL = 0x15;
const JUMP_GREATER = 0x25;
const JUMP_GREATER_OR_EQUAL = 0x35;
const RETURN = 0x06;
const ENOSYS = 38;
const OFFSET_NR = 0;
const OFFSET_ARCH = 4;
/** x32's numbers have this bit, under x86_64's AUDIT_ARCH. */
const X32_BIT = 0x4000_0000;

/** The newest system call that a profile names on one architecture. */
export interface NewestCall {
  /** AUDIT_ARCH_…; x32 has x86_64's. */
  readonly auditArch: number;
  readonly isX32: boolean;
  readonly nr: number;
}

/** One classic BPF instruction: code, jump if true, jump if false, constant. */
type Instruction = readonly [number, number, number, number];

/**
 * A program to put in front of a filter: a call newer than the newest one that the profile names gets ENOSYS, not the
 * default action, so that a C library falls back instead of failing. Any other call goes on to the filter. Empty for no
 * architectures. Source: runc libcontainer/seccomp/patchbpf.
 */
export function compileEnosysStub(newest: readonly NewestCall[]): Uint8Array {
  const blocks = [...Map.groupBy(newest, ({ auditArch }) => auditArch)].map(([auditArch, calls]) =>
    compileBlock(auditArch, calls),
  );
  if (blocks.length === 0) return new Uint8Array();
  const program: Instruction[] = [[LOAD, 0, 0, OFFSET_ARCH], ...blocks.flat()];
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(([code, yes, no, constant], index) => {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(yes, index * 8 + 2);
    bytes.writeUInt8(no, index * 8 + 3);
    bytes.writeUInt32LE(code === JUMP ? program.length - index - 1 : constant, index * 8 + 4);
  });
  return bytes;
}

function compileBlock(auditArch: number, calls: readonly NewestCall[]): Instruction[] {
  const plain = calls.find(({ isX32 }) => !isX32);
  const x32 = calls.find(({ isX32 }) => isX32);
  const toFilter: Instruction = [JUMP, 0, 0, 0];
  const refuse: Instruction = [RETURN, 0, 0, SECCOMP_RETURN.errno + ENOSYS];
  const test = (call: NewestCall | undefined): Instruction[] =>
    call === undefined ? [toFilter] : [[JUMP_GREATER, 0, 1, call.nr], refuse, toFilter];
  const body: Instruction[] = [[LOAD, 0, 0, OFFSET_NR]];
  if (x32 !== undefined || auditArch === 0xc000_003e) {
    const high = test(x32); // numbers with x32's bit, unlisted x32 included: the filter kills that
    body.push([JUMP_GREATER_OR_EQUAL, 0, high.length, X32_BIT], ...high);
  }
  body.push(...test(plain));
  return [[JUMP_EQUAL, 0, body.length, auditArch], ...body];
}
