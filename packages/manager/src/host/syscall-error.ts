import { constants } from "node:os";

/** A system call that Node does not offer has failed. */
export class SyscallError extends Error {
  override readonly name = "SyscallError";
  readonly code: string;
  readonly syscall: string;

  constructor(syscall: string, errno: number, subject: string) {
    const code = ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
    super(`${subject}: ${code} from ${syscall}`);
    this.code = code;
    this.syscall = syscall;
  }
}

const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));
