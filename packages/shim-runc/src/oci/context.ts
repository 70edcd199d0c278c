import type { Kernel } from "../kernel.ts";
import type { SeccompFilters } from "../seccomp-filters.ts";
import type { Flags } from "./flags.ts";
import type { Caller } from "./rootless.ts";
import type { Store } from "./store.ts";

/** The outside world of one command. */
export interface Context {
  readonly store: Store;
  readonly kernel: Kernel;
  readonly filters: SeccompFilters;
  /** The C program that runs launch programs. */
  readonly monitorProgram: string;
  /** Where compiled filters are kept: a directory, made if need be. */
  cacheDirectory(): string;
  /** `--systemd-cgroup`: cgroups that are made are systemd's scopes. */
  readonly systemdCgroup: boolean;
  readonly caller: Caller;
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  print(text: string): void;
  /** Tell something that is no failure of the command. */
  warn(text: string): void;
  readStdin(): Buffer;
}

/** One command. Resolves with the exit code; what it throws is 1, or what `FailedWith` says. */
export type Command = (context: Context, flags: Flags, words: readonly string[]) => Promise<number>;

/** A failure with an exit code of its own. */
export class FailedWith extends Error {
  override readonly name = "FailedWith";
  readonly code: number;
  constructor(code: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
