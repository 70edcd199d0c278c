/** How a process ended. `lost` is never reported as 0. */
export type Exit =
  | { readonly kind: "exited"; readonly code: number } // 0 to 255
  | { readonly kind: "signaled"; readonly signal: number } // 1 to 64
  | { readonly kind: "lost"; readonly why: string };

/** An exit and when it was seen, in nanoseconds since 1970. */
export interface ExitRecord {
  readonly exit: Exit;
  readonly exitedAtNs: bigint;
}

/** From the status word of wait(2). Source: wait(2), WIFEXITED and friends. */
export function fromWaitStatus(status: number): Exit {
  const signal = status & 0x7f;
  return signal === 0 ? { kind: "exited", code: (status >> 8) & 0xff } : { kind: "signaled", signal };
}

/** The exit status that containerd reports: 128 + n for a death by signal n, 255 for an unknown one. */
export function exitStatus(exit: Exit): number {
  switch (exit.kind) {
    case "exited":
      return exit.code;
    case "signaled":
      return 128 + exit.signal;
    case "lost":
      return 255;
  }
}

/** In words, for people. */
export function describeExit(exit: Exit): string {
  switch (exit.kind) {
    case "exited":
      return `exit status ${exit.code}`;
    case "signaled":
      return `killed by signal ${exit.signal}`;
    case "lost":
      return exit.why;
  }
}
