import { Code, StatusError } from "ttrpc-ts";
import { readLastWords } from "./console.ts";
import type { VmPlan } from "./plan.ts";

/** A running QEMU, as whoever started it sees it. */
export interface VmProcess {
  readonly pid: number;
  /** Resolves with how it ended, for people: `exit status 1: could not open disk`. Never rejects. */
  readonly exited: Promise<string>;
  /** SIGKILL, through what cannot hit another process. Harmless when it has ended. */
  kill(): void;
}

/** Starts QEMU for a plan. Its folder is there. Throws what says why it could not be started. */
export type StartVm = (plan: VmPlan) => Promise<VmProcess>;

/** Why a machine is of no use: what QEMU said, or what the guest said last. */
export function describeEnd(plan: VmPlan, how: string): string {
  const { reason, lines } = readLastWords(plan.paths.console);
  const words = reason ?? lines.at(-1);
  return words === undefined ? `qemu: ${how}` : `qemu: ${how}; the guest's console: ${words}`;
}

/**
 * Do `work` as long as the machine lives: when QEMU ends first, or the guest panics with it, that is the error (Unavailable), with the
 * console's last words. The signal that `work` gets is aborted then, and when `limitMs` is over (DeadlineExceeded) or `signal` is aborted.
 */
export async function whileAlive<T>(
  plan: VmPlan,
  vm: VmProcess,
  { limitMs, signal, what }: { readonly limitMs: number; readonly signal: AbortSignal; readonly what: string },
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  const late = () => {
    const why = `${what}: not in ${limitMs} ms; ${describeEnd(plan, "is running")}`;
    controller.abort(new StatusError(Code.DeadlineExceeded, why));
  };
  const timer = setTimeout(late, limitMs);
  void vm.exited.then((how) => {
    controller.abort(new StatusError(Code.Unavailable, `${what}: ${describeEnd(plan, how)}`));
  });
  const either = AbortSignal.any([signal, controller.signal]);
  const { promise, reject } = Promise.withResolvers<never>();
  const stop = () => reject(either.reason);
  either.addEventListener("abort", stop, { once: true });
  try {
    either.throwIfAborted();
    return await Promise.race([work(either), promise]);
  } catch (error) {
    // A connection that breaks is how QEMU's end shows first; a moment later there is a reason.
    if (controller.signal.aborted || signal.aborted) throw either.reason;
    const how = await Promise.race([
      vm.exited,
      new Promise<undefined>((resolve) => setTimeout(resolve, 200, undefined)),
    ]);
    throw how === undefined
      ? error
      : new StatusError(Code.Unavailable, `${what}: ${describeEnd(plan, how)}`, { cause: error });
  } finally {
    clearTimeout(timer);
    either.removeEventListener("abort", stop);
  }
}
