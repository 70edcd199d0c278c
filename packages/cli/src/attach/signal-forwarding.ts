import { readFileSync } from "node:fs";
import { constants } from "node:os";
import { setTimeout } from "node:timers/promises";
import type { ClientTask } from "@trimaran/manager";
import type { SignalSource } from "../cli-context.ts";

/** What is passed on. SIGWINCH becomes a resize, SIGPIPE and SIGCHLD are ours. */
const FORWARDED: readonly NodeJS.Signals[] = [
  "SIGINT",
  "SIGTERM",
  "SIGHUP",
  "SIGQUIT",
  "SIGUSR1",
  "SIGUSR2",
  "SIGCONT",
];
const ENDING = new Set<NodeJS.Signals>(["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]);
const SIGKILL = 9;
const LOOK_AGAIN_MS = 100;

/** The part of a task that takes signals. */
export type SignalTarget = Pick<ClientTask, "kill">;

/**
 * Our signals, kept from the moment this is made and passed on once there is a process to take them: a Ctrl-C while a container is
 * being made ends the container, and with it us. Disposing gives signals their usual effect back.
 */
export class SignalForwarding implements Disposable {
  readonly #listening: Disposable;
  readonly #early: NodeJS.Signals[] = [];
  #forward: ((name: NodeJS.Signals) => void) | undefined;

  constructor(source: SignalSource) {
    this.#listening = source.listen(FORWARDED, (name) => {
      if (this.#forward === undefined) this.#early.push(name);
      else this.#forward(name);
    });
  }

  /**
   * The kernel does not deliver a signal to the first process of a pid namespace that has no handler for it, so Ctrl-C would do
   * nothing to most of them: one that asks for the end and has no handler becomes SIGKILL.
   */
  passTo(task: SignalTarget, execId: string, pid: number): void {
    this.#forward = (name) => {
      const signal = constants.signals[name];
      const ends = ENDING.has(name) && execId === "";
      const sent = ends ? endInit(task, pid, signal) : task.kill(signal, { execId });
      sent.catch(() => {}); // it has just exited
    };
    for (const name of this.#early.splice(0)) this.#forward(name);
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]();
  }
}

/** A shell that has a handler may exec a command that has none before the signal arrives, hence the second look. */
async function endInit(task: SignalTarget, pid: number, signal: number): Promise<void> {
  if (hasHandler(pid, signal)) {
    await task.kill(signal, { execId: "" });
    await setTimeout(LOOK_AGAIN_MS, undefined, { ref: false });
  }
  if (!hasHandler(pid, signal)) await task.kill(SIGKILL, { execId: "" });
}

/** Whether the process catches or ignores the signal, by the masks in /proc/PID/status. */
function hasHandler(pid: number, signal: number): boolean {
  try {
    return handledSignals(readFileSync(`/proc/${pid}/status`, "utf8")).has(signal);
  } catch {
    return true; // gone, or not our kernel's (a virtual machine): let the shim decide
  }
}

/** Signals that are caught or ignored, from the text of /proc/PID/status. */
export function handledSignals(status: string): ReadonlySet<number> {
  const masks = [...status.matchAll(/^Sig(?:Ign|Cgt):\s*([0-9a-f]+)$/gm)].map(([, hex]) => BigInt(`0x${hex}`));
  const mask = masks.reduce((all, one) => all | one, 0n);
  return new Set(
    Array.from({ length: 64 }, (_, index) => index + 1).filter((signal) => (mask >> BigInt(signal - 1)) & 1n),
  );
}
