import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { removeAll, type Scope } from "@trimaran/shim-check";
import { PATIENCE } from "./patience.ts";

/** What clean-up needs of an engine. */
export interface Cleanable extends Scope {
  ctr(...args: readonly string[]): Promise<{ readonly stdout: string }>;
  kill(signal: NodeJS.Signals): Promise<void>;
}

const GONE_MS = 5_000 * PATIENCE;

/** Remove everything that belongs to an engine, whatever state a test left it in. Never touches what is not its own. */
export async function cleanUp(engine: Cleanable): Promise<void> {
  await deleteTasks(engine).catch(() => undefined); // it may be dead or stuck; the rest works without it
  await stopDaemon(engine);
  const survivors = await removeAll(engine, GONE_MS);
  if (survivors.length > 0) throw new Error(`processes survive SIGKILL:\n${survivors.join("\n")}`);
  await removeFifos(engine.tag);
  await rm(engine.dir, { recursive: true, force: true });
}

/** Kill and delete every task of the engine's namespace, through ctr. */
export async function deleteTasks(engine: Cleanable): Promise<void> {
  if (!existsSync(engine.address)) return;
  const list = async (kind: string) =>
    (await engine.ctr(kind, "ls", "-q")).stdout.split("\n").filter((id) => id !== "");
  const tasks = await list("tasks");
  if (tasks.length > 0) await engine.ctr("tasks", "rm", "--force", ...tasks);
}

async function stopDaemon(engine: Cleanable): Promise<void> {
  const timer = setTimeout(() => void engine.kill("SIGKILL"), GONE_MS);
  await engine.kill("SIGTERM");
  clearTimeout(timer);
}

/** `ctr run -d` leaves its FIFOs behind, with any runtime. */
async function removeFifos(tag: string): Promise<void> {
  const root = "/run/containerd/fifo";
  for (const folder of await readdir(root).catch(() => [])) {
    const names = await readdir(join(root, folder)).catch(() => []);
    if (names.some((name) => name.includes(tag))) await rm(join(root, folder), { recursive: true, force: true });
  }
}
