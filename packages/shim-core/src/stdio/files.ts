import type { ProgramBuilder, StdioPlan } from "@trimaran/linux";
import { SLOT } from "./slots.ts";

// asm-generic/fcntl.h
const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const O_CLOEXEC = 0o2000000;

/** A command's output goes into files: what it said is there for the next task server, too. */
export function intoFiles(stdout: string, stderr: string): StdioPlan {
  return {
    kind: "slots",
    stdin: SLOT.childStdin,
    stdout: SLOT.childStdout,
    stderr: SLOT.childStderr,
    prelude(builder) {
      open(builder, "/dev/null", O_RDONLY, SLOT.childStdin);
      open(builder, stdout, O_WRONLY | O_CREAT | O_TRUNC, SLOT.childStdout);
      open(builder, stderr, O_WRONLY | O_CREAT | O_TRUNC, SLOT.childStderr);
    },
  };
}

function open(builder: ProgramBuilder, path: string, flags: number, slot: number): void {
  const fd = builder.call("openat", [AT_FDCWD, builder.data.string(path), flags | O_CLOEXEC, 0o600]);
  builder.op("KEEP", [fd, slot]);
  builder.release(fd);
}
