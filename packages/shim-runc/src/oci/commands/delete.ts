import { setTimeout as delay } from "node:timers/promises";
import { Cgroup, removeResctrl } from "@trimaran/linux";
import { runHooks } from "../../hooks.ts";
import type { Command, Context } from "../context.ts";
import { leaveScope } from "../leave-scope.ts";
import { isAlive, signalProcess } from "../process-identity.ts";
import { type Found, find, stateFor } from "../status.ts";
import { NoContainer } from "../store.ts";
import { onlyId } from "./create.ts";

const SIGKILL = 9;
const KILL_LIMIT_MS = 10_000;

/** Take a container away that has stopped, or was never started; with --force any. */
export const deleteContainer: Command = async (context, flags, words) => {
  const id = onlyId(words);
  const force = flags.has("force");
  let found: Found;
  try {
    found = find(context, id);
  } catch (error) {
    if (!(error instanceof NoContainer)) throw error;
    if (!(await removeBegun(context, id)) && !force) throw error;
    return 0;
  }
  if (!force && found.status !== "stopped" && found.status !== "created")
    throw new Error(`cannot delete container ${id} that is not stopped: ${found.status}`);
  await removeContainer(context, found);
  return 0;
};

/** What a create that was killed left. False if there is nothing. */
async function removeBegun(context: Context, id: string): Promise<boolean> {
  const { store, kernel } = context;
  if (!store.has(id)) return false;
  const places = store.begun(id);
  if (places !== undefined) {
    const cgroup = Cgroup.open(kernel.cgroups, places.cgroup, kernel.tools);
    if (cgroup.processes().length > 0) await cgroup.kill();
    await leaveScope(context, places.cgroup);
    await cgroup.remove();
    removeResctrl(places.resctrl?.directories ?? []);
  }
  store.remove(id);
  return true;
}

/** End what is left of it, undo what create did, run the poststop hooks. */
async function removeContainer(context: Context, found: Found): Promise<void> {
  const { record, cgroup } = found;
  const spec = found.spec(); // before anything ends: the `run` that waits for it deletes it, too
  const { native } = context.kernel.tools;
  if (isAlive(record.init)) {
    signalProcess(native, record.init, SIGKILL);
    cgroup.thaw();
    for (let waited = 0; isAlive(record.init) && waited < KILL_LIMIT_MS; waited += 5) await delay(5);
    if (isAlive(record.init)) throw new Error(`container init ${record.init.pid} does not die`);
  }
  if (cgroup.processes().length > 0) await cgroup.kill();
  await leaveScope(context, record.cgroup);
  await cgroup.remove();
  removeResctrl(record.resctrl?.directories ?? []);
  const state = stateFor(record, "stopped", spec);
  if (!context.store.has(record.id)) return; // somebody else was faster, and runs the hooks
  context.store.remove(record.id);
  for (const hook of spec.hooks.poststop) {
    await runHooks([hook], state, record.bundle).catch((error: unknown) => context.warn(String(error)));
  }
}

/** The same by its id. Nothing if somebody else was faster, or is at it: `delete --force`, a checkpoint that ends it, or who waits for it. */
export async function removeIfThere(context: Context, id: string): Promise<void> {
  try {
    await removeContainer(context, find(context, id));
  } catch (error) {
    if (!(error instanceof NoContainer)) throw error;
  }
}
