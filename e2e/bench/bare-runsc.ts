import { mkdir, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeBundle } from "../harness/bundle.ts";
import { runOk } from "../harness/process.ts";
import type { ShimYard } from "../harness/shims.ts";
import type { Laps } from "./latency.ts";

/** create, start, wait, delete of `true` by a shell, its rootfs mounted beforehand. Without a network, which bare runsc can't make on newer kernels. */
export async function bareContainer(yard: ShimYard, runsc: string, name: string): Promise<Laps> {
  const id = `${yard.tag}-bare-${name}`;
  yard.ids.push(id);
  await using bundle = await makeBundle(yard.containerd.dir, { namespace: yard.tag, id, args: ["true"] });
  const [{ options = [] } = {}] = bundle.mounts;
  const rootfs = join(bundle.path, "rootfs");
  const root = join(dirname(bundle.path), "bare");
  await mkdir(root, { recursive: true });
  await runOk(["mount", "-t", "overlay", "overlay", "-o", options.join(","), rootfs]);
  try {
    const command = `${runsc} --root=${root} --network=none`;
    const verbs = [`create -bundle ${bundle.path} ${id}`, `start ${id}`, `wait ${id}`, `delete ${id}`];
    const times = await timed(verbs.map((verb) => `${command} ${verb}`));
    return { container: times.reduce((sum, ms) => sum + ms, 0) };
  } finally {
    await runOk(["umount", rootfs]);
    await rm(join(root, id), { recursive: true, force: true });
  }
}

/** `true` by `runsc exec` in a container of ours, which has that name for runsc. */
export async function bareExec(yard: ShimYard, runsc: string, id: string): Promise<Laps> {
  const [exec = Number.NaN] = await timed([`${runsc} --root=/run/containerd/runsc/${yard.tag} exec ${id}+ true`]);
  return { exec };
}

/** Milliseconds of each command, taken by the shell that runs them: no start of a big process is in it. */
async function timed(commands: readonly string[]): Promise<number[]> {
  // a wait that comes too late, when the sandbox has ended, fails
  const quiet = (command: string) => `${command} </dev/null >/dev/null 2>&1`;
  const script = commands.map(
    (command) => `${quiet(command)} || ${/ wait /.test(command) ? "true" : "exit 1"}; echo $EPOCHREALTIME`,
  );
  const stdout = await runOk(["bash", "-c", `echo $EPOCHREALTIME; ${script.join("; ")}`]);
  const at = stdout.trim().split("\n").map(Number);
  return at.slice(1).map((time, n) => (time - (at[n] ?? Number.NaN)) * 1000);
}
