/** A minimal builder of launch programs, for tests of the monitor only: the compiler proper is packages/linux. PROTOCOL.md, section 5. */
import { ByteWriter } from "../bytes.ts";

export const Op = {
  Sys: 1,
  Clone: 2,
  Sync: 3,
  Gate: 4,
  Path: 5,
  Check: 6,
  Caps: 7,
  Cwd: 8,
  Find: 9,
  Close: 10,
  Store: 11,
  Exec: 12,
  Keep: 13,
  Drop: 14,
  Field: 15,
  Pump: 16,
  Exit: 17,
  Branch: 18,
  Load: 19,
  Moved: 20,
} as const;

/** x86_64 and arm64 numbers of what tests call. */
const numbers = {
  x64: {
    read: 0,
    write: 1,
    close: 3,
    ioctl: 16,
    nanosleep: 35,
    getpid: 39,
    socket: 41,
    sendto: 44,
    bind: 49,
    socketpair: 53,
    listen: 50,
    fcntl: 72,
    setsid: 112,
    openat: 257,
    unlinkat: 263,
    setns: 308,
    eventfd2: 290,
    dup3: 292,
    pipe2: 293,
    pidfd_send_signal: 424,
    pidfd_open: 434,
    unshare: 272,
    exit_group: 231,
    kill: 62,
    umask: 95,
    getppid: 110,
    prlimit64: 302,
    mkdirat: 258,
    chdir: 80,
  },
  arm64: {
    read: 63,
    write: 64,
    close: 57,
    ioctl: 29,
    nanosleep: 101,
    getpid: 172,
    socket: 198,
    socketpair: 199,
    bind: 200,
    listen: 201,
    sendto: 206,
    fcntl: 25,
    setsid: 157,
    openat: 56,
    unlinkat: 35,
    setns: 268,
    eventfd2: 19,
    dup3: 24,
    pipe2: 59,
    pidfd_send_signal: 424,
    pidfd_open: 434,
    unshare: 97,
    exit_group: 94,
    kill: 129,
    umask: 166,
    getppid: 173,
    prlimit64: 261,
    mkdirat: 34,
    chdir: 49,
  },
};
export const nr = process.arch === "arm64" ? numbers.arm64 : numbers.x64;

export type Arg = { readonly kind: 0 | 1 | 2 | 3; readonly value: bigint };
export const imm = (value: number | bigint): Arg => ({ kind: 0, value: BigInt(value) });
export const data = (offset: number): Arg => ({ kind: 1, value: BigInt(offset) });
export const reg = (index: number): Arg => ({ kind: 2, value: BigInt(index) });
export const slot = (index: number): Arg => ({ kind: 3, value: BigInt(index) });

export interface StepOptions {
  readonly dst?: number;
  readonly skip?: number;
  readonly tolerate?: readonly number[];
}
export const SKIP_ON_ERROR = 0x8000;
const AT_FDCWD = -100;

export class Program {
  #steps = new ByteWriter(1024);
  #count = 0;
  #data = Buffer.alloc(0);
  #relocs: [number, number][] = [];
  regs = 16;

  /** Reserve data, 8-aligned; its offset. */
  bytes(content: Uint8Array | number): number {
    const at = this.#data.length;
    const bytes = typeof content === "number" ? Buffer.alloc(content) : content;
    this.#data = Buffer.concat([this.#data, bytes, Buffer.alloc(-bytes.length & 7)]);
    return at;
  }
  text(text: string): number {
    return this.bytes(Buffer.from(`${text}\0`));
  }
  /** A NULL-terminated array of pointers to strings. */
  strings(list: readonly string[]): number {
    const offsets = list.map((text) => this.text(text));
    const at = this.bytes(8 * (list.length + 1));
    offsets.forEach((target, i) => {
      this.#relocs.push([at + 8 * i, target]);
    });
    return at;
  }
  reloc(where: number, target: number): void {
    this.#relocs.push([where, target]);
  }
  get length(): number {
    return this.#count;
  }
  /** The index of the step. */
  step(op: number, args: readonly Arg[], options: StepOptions & { nr?: number } = {}): number {
    const kinds = args.reduce((all, arg, i) => all | (arg.kind << (4 * i)), 0);
    this.#steps
      .u16(op)
      .u16(options.dst ?? 0xffff)
      .u16(options.nr ?? 0)
      .u16(options.skip ?? 0);
    this.#steps
      .u16(options.tolerate?.[0] ?? 0)
      .u16(options.tolerate?.[1] ?? 0)
      .u32(kinds);
    for (let i = 0; i < 6; i++) this.#steps.u64(args[i]?.value ?? 0n);
    return this.#count++;
  }
  sys(number: number, args: readonly Arg[], options: StepOptions = {}): number {
    return this.step(Op.Sys, args, { ...options, nr: number });
  }
  clone(options: { flags?: number; closeSlots?: number; stageExits?: boolean; raw?: Uint8Array } = {}): number {
    const args = Buffer.alloc(88);
    args.writeBigUInt64LE(BigInt(options.flags ?? 0), 0);
    return this.step(Op.Clone, [
      data(this.bytes(options.raw ?? args)),
      imm(options.stageExits ? 1 : 0),
      imm(options.closeSlots ?? 0),
    ]);
  }
  gate(): number {
    return this.step(Op.Gate, []);
  }
  sync(code: number, value: Arg, options: StepOptions & { fd?: Arg; slot?: number; data?: Uint8Array } = {}): number {
    const bytes = options.data ?? Buffer.alloc(1);
    return this.step(
      Op.Sync,
      [
        imm(code),
        value,
        options.fd ?? imm(-1),
        imm(options.slot ?? 255),
        data(this.bytes(bytes)),
        imm(options.data?.length ?? 0),
      ],
      options,
    );
  }
  keep(fd: Arg, index: number): number {
    return this.step(Op.Keep, [fd, imm(index)]);
  }
  drop(index: number): number {
    return this.step(Op.Drop, [imm(index)]);
  }
  load(offset: number, width: 4 | 8, dst: number): number {
    return this.step(Op.Load, [imm(offset), imm(width)], { dst });
  }
  exit(status: number): number {
    return this.step(Op.Exit, [imm(status)]);
  }
  /** pipe2, both ends into slots (-1: only in registers dst, dst+1). */
  pipe(readSlot: number, writeSlot: number, dst = 0): void {
    const at = this.bytes(8);
    this.sys(nr.pipe2, [data(at), imm(0o2000000)]);
    this.load(at, 4, dst);
    this.load(at + 4, 4, dst + 1);
    if (readSlot >= 0) this.keep(reg(dst), readSlot);
    if (writeSlot >= 0) this.keep(reg(dst + 1), writeSlot);
  }
  open(path: string, flags: number, dst: number, mode = 0): number {
    return this.sys(nr.openat, [imm(AT_FDCWD), data(this.text(path)), imm(flags | 0o2000000), imm(mode)], { dst });
  }
  dup3(from: Arg, to: number): number {
    return this.sys(nr.dup3, [from, imm(to), imm(0)]);
  }
  exec(argv: readonly string[], env: readonly string[] = ["PATH=/usr/bin:/bin"], options: StepOptions = {}): number {
    return this.step(
      Op.Exec,
      [data(this.text(argv[0] ?? "")), data(this.strings(argv)), data(this.strings(env)), imm(AT_FDCWD), imm(0)],
      options,
    );
  }
  encode(): Uint8Array {
    const steps = this.#steps.finish();
    const dataOffset = 32 + steps.length;
    const relocOffset = dataOffset + this.#data.length;
    const out = new ByteWriter(relocOffset + 8 * this.#relocs.length);
    out
      .u32(0x31504c54)
      .u32(relocOffset + 8 * this.#relocs.length)
      .u16(this.#count)
      .u16(this.regs);
    out.u32(dataOffset).u32(this.#relocs.length).u32(relocOffset).u64(0n).raw(steps).raw(this.#data);
    for (const [where, target] of this.#relocs) out.u32(where).u32(target);
    return out.finish();
  }
}

function unixAddress(path: string): Buffer {
  const address = Buffer.alloc(110);
  address.writeUInt16LE(1, 0);
  address.write(path, 2);
  return address;
}

/** The program of a "serve" answer: bind, listen, clone, exec the monitor as the pod's daemon. */
export function serveProgram(
  socketPath: string,
  env: readonly string[],
  log: string,
  exe = "/proc/self/exe",
): Uint8Array {
  const p = new Program();
  p.sys(nr.socket, [imm(1), imm(1 | 0o2000000), imm(0)], { dst: 0 });
  p.sys(nr.bind, [reg(0), data(p.bytes(unixAddress(socketPath))), imm(110)]);
  p.sys(nr.listen, [reg(0), imm(128)]);
  p.open("/dev/null", 2, 1);
  p.clone();
  p.sys(nr.fcntl, [reg(0), imm(1030), imm(10)], { dst: 0 }); // F_DUPFD_CLOEXEC: dup3(3, 3) would be EINVAL
  p.dup3(reg(0), 3);
  p.sys(nr.setsid, []);
  for (const fd of [0, 1]) p.dup3(reg(1), fd);
  p.open(log, 0o2101, 2, 0o600);
  p.dup3(reg(2), 2);
  p.exec([exe], env);
  return p.encode();
}
