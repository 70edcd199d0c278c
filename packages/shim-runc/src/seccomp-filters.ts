import {
  AUDIT_ARCH,
  alwaysPasses,
  type Native,
  parseSeccomp,
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
    if (compiled.notify) throw new SeccompError("linux.seccomp.syscalls", "SCMP_ACT_NOTIFY is not supported yet");
    const { program, flags } = compiled;
    const known = this.#plans.get(program);
    if (known?.flags === flags) return known;
    const plan = { bytes: program, flags, passesGate: passesGate(program) };
    this.#plans.set(program, plan);
    return plan;
  }
}

function passesGate(program: Uint8Array): boolean {
  const architecture = toArchitecture(process.arch);
  return GATE_CALLS.every((name) => alwaysPasses(program, AUDIT_ARCH[architecture], SYSCALL[architecture][name]));
}
