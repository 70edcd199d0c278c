import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { inSpan } from "@trimaran/proto";
import { verifyImage } from "../image/ensure.ts";
import { type NetworkBackend, planVm, type VmPaths, type VmPlan } from "../qemu/plan.ts";
import { Qmp } from "../qemu/qmp.ts";
import { type StartVm, type VmProcess, whileAlive } from "../qemu/vm.ts";
import { stopwatch } from "../stopwatch.ts";
import { COLD_LIMIT_MS, ensureTemplate } from "./ensure.ts";
import type { TemplateSubject } from "./key.ts";
import { loadState } from "./state-transfer.ts";
import { removeTemplate, type Template } from "./store.ts";

/**
 * How long a clone may take until its agent answers: 0.1 s on an emulator with nothing else to do. Many that start at once are slow, and a cold boot each, because of that,
 * would be slower still.
 */
const CLONE_LIMIT_MS = 60_000;

/** What starts a pod's machine. `T` is what the agent's readiness brings: its connection. */
export interface StartOptions<T> extends TemplateSubject {
  /** The machine's own folder. It is made; what was in it is removed. */
  readonly directory: string;
  readonly network: NetworkBackend;
  /** See `VmRequest.fsSocket`. */
  readonly fsSocket?: string;
  /** Where templates are; undefined: none is used. */
  readonly templates: string | undefined;
  /** Starts the pod's QEMU. Called again for the cold boot when a clone came to nothing: `plan.isClone` tells which. */
  readonly start: StartVm;
  /** Starts the QEMU that becomes the template: not the pod's. */
  readonly startTemplate: StartVm;
  /** Resolves when the agent in a template answers, with its connection closed again. */
  readonly readyTemplate: (paths: VmPaths, signal: AbortSignal) => Promise<unknown>;
  /** Resolves when the pod's agent answers. Called again for the cold boot. */
  readonly ready: (paths: VmPaths, signal: AbortSignal) => Promise<T>;
  /** Told when no clone could be had, with the reason; a cold boot follows. */
  readonly onFallback: (why: Error) => void;
  /** Milliseconds that a cold boot may take until the agent answers. Default: `COLD_LIMIT_MS`. */
  readonly coldLimitMs?: number;
  /** The same for the machine that becomes the template, until that is ready to be saved. Default: `coldLimitMs`. */
  readonly templateLimitMs?: number;
  readonly signal: AbortSignal;
}

/** A pod's machine whose agent answers. The caller owns the process and the connections. */
export interface StartedMachine<T> {
  readonly vm: VmProcess;
  readonly plan: VmPlan;
  readonly qmp: Qmp;
  readonly agent: T;
  readonly origin: "clone" | "cold";
  /** Milliseconds: until QEMU runs, until it has a template's state and goes on, until the agent answers. */
  readonly took: { readonly qemuMs: number; readonly wakeMs: number; readonly answerMs: number };
}

/**
 * Start a machine as a clone of its template, which is built when it is not there; when anything of that fails, by a cold boot. Throws
 * what says why the cold boot failed; nothing runs then, and the machine's folder is left for its console's log.
 */
export async function startMachine<T>(options: StartOptions<T>): Promise<StartedMachine<T>> {
  const { templates, signal, onFallback } = options;
  if (templates !== undefined) {
    try {
      return await startClone(templates, options);
    } catch (error) {
      signal.throwIfAborted();
      onFallback(error instanceof Error ? error : new Error(String(error)));
    }
  }
  await inSpan("verify the image", () => verifyImage(options.image));
  return await run(options, { kind: "own" }, options.coldLimitMs ?? COLD_LIMIT_MS, (plan, alive) =>
    Qmp.open(plan.paths.qmp, alive),
  );
}

async function startClone<T>(root: string, options: StartOptions<T>): Promise<StartedMachine<T>> {
  const { startTemplate, readyTemplate, coldLimitMs = COLD_LIMIT_MS, templateLimitMs = coldLimitMs } = options;
  const build = { ...options, root, start: startTemplate, ready: readyTemplate, coldLimitMs: templateLimitMs };
  const template = await inSpan("template", () => ensureTemplate(build));
  try {
    return await run(options, { kind: "clone", path: template.memory }, CLONE_LIMIT_MS, (plan, alive) =>
      resumeClone(plan, template, alive),
    );
  } catch (error) {
    if (!options.signal.aborted) removeTemplate(root, template.key); // whatever it was: the next pod gets a new one
    throw error;
  }
}

/**
 * Bring a QEMU that was started as a clone to life: the guest goes on where its template stopped. The result is QEMU's control channel, to
 * be disposed. Throws Unavailable with QEMU's reason.
 */
export async function resumeClone({ paths, directory }: VmPlan, template: Template, signal: AbortSignal): Promise<Qmp> {
  const qmp = await Qmp.open(paths.qmp, signal);
  try {
    await loadState(qmp, template.state, join(directory, "state.sock"), signal);
    await qmp.execute("cont");
    return qmp;
  } catch (error) {
    qmp[Symbol.dispose]();
    throw error;
  }
}

async function run<T>(
  options: StartOptions<T>,
  memory: Parameters<typeof planVm>[0]["memory"],
  limitMs: number,
  wake: (plan: VmPlan, signal: AbortSignal) => Promise<Qmp>,
): Promise<StartedMachine<T>> {
  const { qemu, image, shape, directory, network, fsSocket, start, ready, signal } = options;
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const plan = planVm({
    ...{ qemu, image, shape, directory, network, memory },
    ...(fsSocket !== undefined && { fsSocket }),
  });
  const lap = stopwatch();
  const vm = await inSpan("qemu", () => start(plan));
  const qemuMs = lap();
  const origin = plan.isClone ? "clone" : "cold";
  let qmp: Qmp | undefined;
  let wakeMs = 0;
  try {
    const agent = await whileAlive(plan, vm, { limitMs, signal, what: `${origin} start` }, async (alive) => {
      qmp = await inSpan(plan.isClone ? "take the template's state" : "boot", () => wake(plan, alive));
      wakeMs = lap();
      return await inSpan("agent answers", () => ready(plan.paths, alive));
    });
    if (qmp === undefined) throw new Error("unreachable: whileAlive ran its work");
    return { vm, plan, qmp, agent, origin, took: { qemuMs, wakeMs, answerMs: lap() } };
  } catch (error) {
    qmp?.[Symbol.dispose]();
    vm.kill();
    await vm.exited;
    throw error;
  }
}
