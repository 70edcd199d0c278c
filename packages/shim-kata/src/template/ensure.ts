import { mkdirSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { Code, StatusError } from "ttrpc-ts";
import { verifyImage } from "../image/ensure.ts";
import { withMachineLock } from "../machine-lock.ts";
import { planVm, type VmPaths } from "../qemu/plan.ts";
import { Qmp } from "../qemu/qmp.ts";
import { type StartVm, whileAlive } from "../qemu/vm.ts";
import { type TemplateSubject, templateKey } from "./key.ts";
import { saveState } from "./state-transfer.ts";
import {
  findTemplate,
  newTemplatePaths,
  publishTemplate,
  removeUnfinished,
  type Template,
  templateLock,
} from "./store.ts";

/** How long a cold boot may take until the agent is ready: 3 s on an emulator with nothing else to do. */
export const COLD_LIMIT_MS = 90_000;
/** How long QEMU may take to end when it is told to. */
const QUIT_LIMIT_MS = 5000;

/** How a template may be had. */
export interface TemplateOptions extends TemplateSubject {
  /** See `templateDirectory`. */
  readonly root: string;
  /** Starts the machine that becomes the template. */
  readonly start: StartVm;
  /** Resolves when the agent is ready, and nobody is connected to it any more. */
  readonly ready: (paths: VmPaths, signal: AbortSignal) => Promise<unknown>;
  /** Milliseconds that a cold boot may take until then. Default: `COLD_LIMIT_MS`. */
  readonly coldLimitMs?: number;
  readonly signal: AbortSignal;
}

/**
 * The template for these machines: one that is whole, else a new one (a cold boot). One process at a time builds, whichever template; others wait. Throws what
 * says why it can't be had; nothing is left then.
 */
export async function ensureTemplate(options: TemplateOptions): Promise<Template> {
  const { root, signal } = options;
  const key = templateKey(options);
  const present = findTemplate(root, key);
  if (present) return present;
  return await withMachineLock(templateLock(root), signal, async () => {
    removeUnfinished(root);
    return findTemplate(root, key) ?? (await buildTemplate(key, options));
  });
}

async function buildTemplate(key: string, options: TemplateOptions): Promise<Template> {
  const { root, image, shape, qemu, start, signal, coldLimitMs = COLD_LIMIT_MS } = options;
  const { directory, memory } = newTemplatePaths(root, key);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  try {
    checkSpace(root, shape.memoryMiB);
    await verifyImage(image);
    const plan = planVm({
      ...{ qemu, image, shape, directory },
      ...{ memory: { kind: "template", path: memory }, network: { kind: "none" } },
    });
    const vm = await start(plan);
    try {
      const limits = { limitMs: coldLimitMs, signal, what: "template" };
      const state = await whileAlive(plan, vm, limits, (alive) => bootAndSave(plan.paths, options, alive));
      await Promise.race([vm.exited, new Promise((resolve) => setTimeout(resolve, QUIT_LIMIT_MS).unref())]);
      return publishTemplate(root, key, directory, state);
    } finally {
      vm.kill();
      await vm.exited;
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function bootAndSave(paths: VmPaths, { ready }: TemplateOptions, signal: AbortSignal): Promise<Buffer> {
  using qmp = await Qmp.open(paths.qmp, signal);
  await ready(paths, signal);
  await qmp.execute("stop");
  const state = await saveState(qmp, join(paths.qmp, "../state.sock"), signal);
  await qmp.execute("quit");
  return state;
}

/** A file in memory that can't grow any more ends QEMU with SIGBUS: look before. */
function checkSpace(root: string, memoryMiB: number): void {
  const { bavail, bsize } = statfsSync(root);
  const freeMiB = Math.floor((bavail * bsize) / 2 ** 20);
  if (freeMiB < memoryMiB)
    throw new StatusError(
      Code.ResourceExhausted,
      `template: ${root} has ${freeMiB} MiB free, the machine ${memoryMiB}`,
    );
}
