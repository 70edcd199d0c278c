import { closeSync, constants, openSync, rmSync, writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { Spec } from "@trimaran/linux";
import { runHooks } from "../../hooks.ts";
import type { Command, Context } from "../context.ts";
import { isAlive, type ProcessIdentity, signalProcess } from "../process-identity.ts";
import { expect, type Found, find, stateFor } from "../status.ts";
import type { ContainerRecord } from "../store.ts";
import { onlyId } from "./create.ts";

const SIGKILL = 9;

/** Let a created container's program run. */
export const start: Command = async (context, _flags, words) => {
  const found = find(context, onlyId(words));
  expect(found, "start", "created");
  const spec = found.spec();
  if (spec.process === undefined) throw new Error("cannot start a container without a process in its config");
  await openGate(context, found);
  await runPoststart(context, found.record, spec);
  return 0;
};

/** Poststart hooks; a failure is the container's end. */
export async function runPoststart(context: Context, record: ContainerRecord, spec: Spec): Promise<void> {
  const { poststart } = spec.hooks;
  if (poststart.length === 0) return;
  try {
    await runHooks(poststart, stateFor(record, "running", spec), record.bundle);
  } catch (error) {
    signalProcess(context.kernel.tools.native, record.init, SIGKILL);
    throw error;
  }
}

/** One byte into the FIFO; its only reader closes it by its execve. */
async function openGate({ store }: Context, { record }: Found): Promise<void> {
  let path: string;
  try {
    path = store.claimStart(record.id);
  } catch (error) {
    throw new Error("cannot start a container that is being started", { cause: error });
  }
  const fd = openWriter(path);
  if (fd === undefined) throw new Error("cannot start a container whose init has ended");
  try {
    writeSync(fd, "0");
  } finally {
    closeSync(fd);
  }
  await readerGone(path, record.init);
  rmSync(path, { force: true });
}

/** Undefined where nobody reads: init is gone, or has become its program. */
function openWriter(path: string): number | undefined {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENXIO") return undefined;
    throw error;
  }
}

/** Hooks may run between the gate and the program: however long they take. */
async function readerGone(path: string, init: ProcessIdentity): Promise<void> {
  for (let tries = 0; isAlive(init); tries++) {
    const fd = openWriter(path);
    if (fd === undefined) return;
    closeSync(fd);
    await delay(tries < 50 ? 1 : 20);
  }
}
