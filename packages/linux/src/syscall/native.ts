import { createRequire } from "node:module";
import { SyscallError } from "./errno.ts";
import { SYSCALL, type SyscallName, toArchitecture } from "./numbers.ts";

/** One argument of a system call: a number (sign extended), or memory whose address is passed. */
export type SyscallArgument = number | bigint | Uint8Array | null;

/** One argument of a library function. A string becomes `const char *`. */
export type NativeArgument = SyscallArgument | string;

/** A shared library. Functions are named by their C declaration and called synchronously, but for `later`. */
export interface NativeLibrary {
  /** A function that returns an integer of at most 53 bits. */
  integer(declaration: string): (...values: readonly NativeArgument[]) => number;
  /** A function that returns an address; 0 is NULL. */
  pointer(declaration: string): (...values: readonly NativeArgument[]) => bigint;
  /** As `integer`, in a thread of libuv's pool: for what may take its time. */
  later(declaration: string): (...values: readonly NativeArgument[]) => Promise<number>;
}

interface KoffiFunction {
  (...values: readonly NativeArgument[]): unknown;
  async(...values: readonly unknown[]): void;
}

interface Koffi {
  load(path: string | null): { func(declaration: string): KoffiFunction };
  errno(): number;
  address(memory: Uint8Array): bigint;
}

/**
 * Raw system calls from JavaScript. Opened by the one who needs it and handed on; opening loads koffi (about 10 ms), so
 * `main.ts` does it once and only when first used (see `lazyNative`). No call here retries EINTR.
 */
export interface Native {
  /** The result, or -errno. Buffers must be NUL-terminated where the kernel wants a string. About 0.6 us a call. */
  syscall(name: SyscallName, ...values: readonly SyscallArgument[]): number;
  /** As `syscall`, but throws SyscallError. `path` only serves the message. */
  check(name: SyscallName, values: readonly SyscallArgument[], path?: string): number;
  /** The address of a buffer, to be put into a struct. The caller keeps the buffer alive until the call has returned. */
  address(memory: Uint8Array): bigint;
  /** A shared library by file name ("libseccomp.so.2"), or throws. */
  library(fileName: string): NativeLibrary;
}

/** A `Native` that loads koffi at the first call of one of its methods, never before. */
export function lazyNative(nodeArch: string = process.arch): Native {
  const numbers = SYSCALL[toArchitecture(nodeArch)];
  let opened: { koffi: Koffi; raw: (...values: readonly SyscallArgument[]) => unknown } | undefined;
  const open = () => {
    if (opened !== undefined) return opened;
    const koffi: Koffi = createRequire(import.meta.url)("koffi");
    const six = Array.from({ length: 6 }, () => "void *").join(", ");
    opened = { koffi, raw: koffi.load(null).func(`long syscall(long, ${six})`) };
    return opened;
  };
  const syscall = (name: SyscallName, ...values: readonly SyscallArgument[]): number => {
    const { koffi, raw } = open();
    const [a, b, c, d, e, f] = values.map(toPointer);
    const result = raw(numbers[name], a ?? null, b ?? null, c ?? null, d ?? null, e ?? null, f ?? null);
    return result === -1 ? -koffi.errno() : Number(result);
  };
  return {
    syscall,
    check(name, values, path) {
      const result = syscall(name, ...values);
      if (result < 0) throw new SyscallError(-result, name, path);
      return result;
    },
    address: (memory) => open().koffi.address(memory),
    library(fileName) {
      const library = open().koffi.load(fileName);
      return {
        integer(declaration) {
          const call = library.func(declaration);
          return (...values) => Number(call(...values));
        },
        pointer(declaration) {
          const call = library.func(declaration);
          return (...values) => BigInt(String(call(...values) ?? 0));
        },
        later(declaration) {
          const call = library.func(declaration);
          return (...values) =>
            new Promise((resolve, reject) => {
              const done = (error: unknown, result: unknown) => (error ? reject(error) : resolve(Number(result)));
              call.async(...values, done);
            });
        },
      };
    },
  };
}

/** koffi takes addresses as unsigned 64 bits. */
function toPointer(value: SyscallArgument): SyscallArgument {
  if (typeof value === "number" || typeof value === "bigint") return BigInt.asUintN(64, BigInt(value));
  return value;
}
