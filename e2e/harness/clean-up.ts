import { existsSync } from "node:fs";
import { readdir, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { cgroupsOf, mountsOf, processesOf, type Scope, socketPath } from "./belongings.ts";
import { PATIENCE } from "./patience.ts";
import { run } from "./process.ts";

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
  await killProcesses(engine);
  for (const path of (await mountsOf(engine)).reverse()) await run(["umount", "-l", path]);
  await removeCgroups(engine);
  for (const id of engine.ids) await rm(socketPath(engine.address, engine.namespace, id), { force: true });
  for (const runtime of ["runc", "runsc"])
    await rm(join("/run/containerd", runtime, engine.namespace), { recursive: true, force: true });
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

/** The engine's cgroups that have no processes. A cgroup is busy until its zombies are reaped; PID 1 takes its time where no subreaper does it. */
export async function removeCgroups(engine: Scope): Promise<void> {
  const until = Date.now() + GONE_MS;
  const hierarchies = await readdir("/sys/fs/cgroup");
  const own = ["", ...hierarchies].map((name) => join("/sys/fs/cgroup", name, engine.namespace)); // "": the unified one, where it is alone
  for (;;) {
    for (const path of [...(await cgroupsOf(engine)), ...own]) await rmdir(path).catch(() => undefined);
    if (!own.some((path) => existsSync(path)) || Date.now() > until) return;
    await delay(50);
  }
}

async function stopDaemon(engine: Cleanable): Promise<void> {
  const timer = setTimeout(() => void engine.kill("SIGKILL"), GONE_MS);
  await engine.kill("SIGTERM");
  clearTimeout(timer);
}

/** SIGKILL, again and again: a shim's death may bring forth another process. A frozen cgroup is thawed, or it would not die. */
async function killProcesses(engine: Cleanable): Promise<void> {
  const until = Date.now() + GONE_MS;
  for (;;) {
    const left = (await processesOf(engine)).filter((entry) => entry.state !== "Z");
    if (left.length === 0) return;
    if (Date.now() > until)
      throw new Error(`processes survive SIGKILL:\n${left.map((entry) => `${entry.pid} ${entry.command}`).join("\n")}`);
    for (const path of (await cgroupsOf(engine)).filter((each) => each.startsWith("/sys/fs/cgroup/freezer/"))) {
      await writeFile(join(path, "freezer.state"), "THAWED").catch(() => undefined);
    }
    for (const { pid } of left) {
      try {
        process.kill(pid, "SIGKILL");
      } catch {
        // gone in the meantime
      }
    }
    await delay(20);
  }
}

/** `ctr run -d` leaves its FIFOs behind, with any runtime. */
async function removeFifos(tag: string): Promise<void> {
  const root = "/run/containerd/fifo";
  for (const folder of await readdir(root).catch(() => [])) {
    const names = await readdir(join(root, folder)).catch(() => []);
    if (names.some((name) => name.includes(tag))) await rm(join(root, folder), { recursive: true, force: true });
  }
}
