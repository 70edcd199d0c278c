// biome-ignore-all format: a table, in the kernel's order of numbers
/** Error names to numbers, as on x86_64 and arm64 (asm-generic/errno.h). Of two names with one number both are here. */
export const ERRNO = {
  EPERM: 1, ENOENT: 2, ESRCH: 3, EINTR: 4, EIO: 5, ENXIO: 6, E2BIG: 7, ENOEXEC: 8, EBADF: 9, ECHILD: 10, EAGAIN: 11,
  ENOMEM: 12, EACCES: 13, EFAULT: 14, ENOTBLK: 15, EBUSY: 16, EEXIST: 17, EXDEV: 18, ENODEV: 19, ENOTDIR: 20,
  EISDIR: 21, EINVAL: 22, ENFILE: 23, EMFILE: 24, ENOTTY: 25, ETXTBSY: 26, EFBIG: 27, ENOSPC: 28, ESPIPE: 29,
  EROFS: 30, EMLINK: 31, EPIPE: 32, EDOM: 33, ERANGE: 34, EDEADLK: 35, ENAMETOOLONG: 36, ENOLCK: 37, ENOSYS: 38,
  ENOTEMPTY: 39, ELOOP: 40, ENOMSG: 42, EIDRM: 43, ECHRNG: 44, EL2NSYNC: 45, EL3HLT: 46, EL3RST: 47, ELNRNG: 48,
  EUNATCH: 49, ENOCSI: 50, EL2HLT: 51, EBADE: 52, EBADR: 53, EXFULL: 54, ENOANO: 55, EBADRQC: 56, EBADSLT: 57,
  EBFONT: 59, ENOSTR: 60, ENODATA: 61, ETIME: 62, ENOSR: 63, ENONET: 64, ENOPKG: 65, EREMOTE: 66, ENOLINK: 67,
  EADV: 68, ESRMNT: 69, ECOMM: 70, EPROTO: 71, EMULTIHOP: 72, EDOTDOT: 73, EBADMSG: 74, EOVERFLOW: 75, ENOTUNIQ: 76,
  EBADFD: 77, EREMCHG: 78, ELIBACC: 79, ELIBBAD: 80, ELIBSCN: 81, ELIBMAX: 82, ELIBEXEC: 83, EILSEQ: 84,
  ERESTART: 85, ESTRPIPE: 86, EUSERS: 87, ENOTSOCK: 88, EDESTADDRREQ: 89, EMSGSIZE: 90, EPROTOTYPE: 91,
  ENOPROTOOPT: 92, EPROTONOSUPPORT: 93, ESOCKTNOSUPPORT: 94, EOPNOTSUPP: 95, EPFNOSUPPORT: 96, EAFNOSUPPORT: 97,
  EADDRINUSE: 98, EADDRNOTAVAIL: 99, ENETDOWN: 100, ENETUNREACH: 101, ENETRESET: 102, ECONNABORTED: 103,
  ECONNRESET: 104, ENOBUFS: 105, EISCONN: 106, ENOTCONN: 107, ESHUTDOWN: 108, ETOOMANYREFS: 109, ETIMEDOUT: 110,
  ECONNREFUSED: 111, EHOSTDOWN: 112, EHOSTUNREACH: 113, EALREADY: 114, EINPROGRESS: 115, ESTALE: 116, EUCLEAN: 117,
  ENOTNAM: 118, ENAVAIL: 119, EISNAM: 120, EREMOTEIO: 121, EDQUOT: 122, ENOMEDIUM: 123, EMEDIUMTYPE: 124,
  ECANCELED: 125, ENOKEY: 126, EKEYEXPIRED: 127, EKEYREVOKED: 128, EKEYREJECTED: 129, EOWNERDEAD: 130,
  ENOTRECOVERABLE: 131, ERFKILL: 132, EHWPOISON: 133,
  EWOULDBLOCK: 11, EDEADLOCK: 35, ENOTSUP: 95,
} as const;

/** A name that errno(3) knows. */
export type ErrnoName = keyof typeof ERRNO;

/** Names that share a number with the usual one. */
const SYNONYMS: ReadonlySet<string> = new Set(["EWOULDBLOCK", "EDEADLOCK", "ENOTSUP"]);

const NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(ERRNO).filter(([name]) => !SYNONYMS.has(name)).map(([name, number]) => [number, name]),
);

/** The name of an errno (positive), or `errno N` for a number that no table has. */
export function errnoName(number: number): string {
  return NAMES.get(number) ?? `errno ${number}`;
}

/** The number of an error's name, or undefined if the name is none. */
export function errnoNumber(name: string): number | undefined {
  const numbers: Readonly<Record<string, number>> = ERRNO;
  return Object.hasOwn(numbers, name) ? numbers[name] : undefined;
}

/**
 * A system call failed. `errno` is the name ("ENOENT"), `syscall` the call as the kernel names it; `path` is what it was
 * about, if it was a path. The message reads `ENOENT from open_tree "/data"`; whoever knows the field puts that in front.
 */
export class SyscallError extends Error {
  override readonly name = "SyscallError";
  readonly errno: string;
  readonly errnoNumber: number;
  readonly syscall: string;
  readonly path: string | undefined;
  constructor(errno: number, syscall: string, path?: string, options?: ErrorOptions) {
    super(`${errnoName(errno)} from ${syscall}${path === undefined ? "" : ` ${JSON.stringify(path)}`}`, options);
    this.errno = errnoName(errno);
    this.errnoNumber = errno;
    this.syscall = syscall;
    this.path = path;
  }
}

/** An error that Node's `fs` threw, as a SyscallError; anything else comes back as it is. Node's `errno` is negative. */
export function toSyscallError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof SyscallError) return error;
  if (!("errno" in error) || typeof error.errno !== "number") return error;
  const syscall = "syscall" in error && typeof error.syscall === "string" ? error.syscall : "unknown call";
  const path = "path" in error && typeof error.path === "string" ? error.path : undefined;
  return new SyscallError(Math.abs(error.errno), syscall, path, { cause: error });
}

/** The errno's name of any error that carries one (ours or Node's), else undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error)) return undefined;
  if ("errno" in error && typeof error.errno === "string") return error.errno;
  return "code" in error && typeof error.code === "string" ? error.code : undefined;
}
