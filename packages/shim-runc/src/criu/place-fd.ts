import type { ProgramBuilder, Register } from "@trimaran/linux";

const F_DUPFD_CLOEXEC = 1030;
/** Above every number that is given. */
const ASIDE = 100;

/** Give the child's fd a number below 100 that the program it executes has it by. By way of a high one: dup3(2) refuses what has that number already. */
export function placeFd(builder: ProgramBuilder, fd: Register, number: number): void {
  const copy = builder.call("fcntl", [fd, F_DUPFD_CLOEXEC, ASIDE]);
  builder.sys("dup3", [copy, number, 0]);
  builder.release(copy);
}
