import {
  AUDIT_ARCH,
  alwaysPasses,
  type Native,
  parseSeccomp,
  parseSeccompListener,
  SeccompCompiler,
  SeccompError,
  type SeccompPlan,
  SYSCALL,
  toArchitecture,
} from "@trimaran/linux";

/** Calls that init makes between its filter and its program. A filter that lets them all pass can go in before the start gate. */
const GATE_CALLS = [
  "read",
  "write",
  "close",
  "close_range",
  "execve",
  "execveat",
  "exit_group",
  "sendto",
  "recvfrom",
] as const;

/** Compiled seccomp filters, each profile once: containers of one image and one engine share theirs. */
export class SeccompFilters {
  readonly #native: Native;
  #compiler: SeccompCompiler | undefined;
  readonly #plans = new WeakMap<Uint8Array, SeccompPlan>();

  constructor(native: Native) {
    this.#native = native;
  }

  /** The filter of `linux.seccomp` (raw JSON); undefined where it asks for none. Throws InvalidSpec or SeccompError naming the field. */
  compile(profile: unknown, cacheDirectory: string): SeccompPlan | undefined {
    const parsed = parseSeccomp(profile);
    if (parsed === undefined) return undefined;
    this.#compiler ??= new SeccompCompiler(this.#native, { cacheDir: cacheDirectory });
    const compiled = this.#compiler.compile(parsed);
    if (compiled === undefined) return undefined;
    const { program, flags, notify } = compiled;
    if (notify) checkListener(profile, program);
    const known = this.#plans.get(program);
    if (known?.flags === flags) return known;
    const plan = { bytes: program, flags, passesGate: passesGate(program), notify };
    this.#plans.set(program, plan);
    return plan;
  }
}

/** Once the filter is in force, its listener has to be sent away by calls that nobody answers yet. */
const LISTENER_CALLS = [...GATE_CALLS, "sendmsg"] as const;

function checkListener(profile: unknown, program: Uint8Array): void {
  if (parseSeccompListener(profile) === undefined)
    throw new SeccompError("linux.seccomp.listenerPath", "missing: SCMP_ACT_NOTIFY needs one");
  if (!passesGate(program, LISTENER_CALLS))
    throw new SeccompError(
      "linux.seccomp.syscalls",
      `with SCMP_ACT_NOTIFY these must be allowed, whatever their arguments: ${LISTENER_CALLS.join(", ")}`,
    );
}

function passesGate(program: Uint8Array, calls: readonly (typeof LISTENER_CALLS)[number][] = GATE_CALLS): boolean {
  const architecture = toArchitecture(process.arch);
  return calls.every((name) => alwaysPasses(program, AUDIT_ARCH[architecture], SYSCALL[architecture][name]));
}
