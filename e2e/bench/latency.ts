import { Shim } from "@trimaran/shim-check";
import { ociProcess } from "../harness/bundle.ts";
import type { ShimYard, StartedShim } from "../harness/shims.ts";

/** Milliseconds by step. */
export type Laps = Readonly<Record<string, number>>;

const SPEC = "types.containerd.io/opencontainers/runtime-spec/1/Process";

/** One container that runs `true`, from `start` to the end of the `delete` command, as containerd does it; stdio is /dev/null. */
export async function oneContainer(yard: ShimYard): Promise<Laps> {
  const { bundle, options } = await yard.prepare(["true"]);
  await using own = bundle;
  const { id } = own;
  const lap = stopwatch();
  await using shim = await Shim.start(options);
  const bootstrap = lap();
  await shim.task.create({ id, bundle: own.path, rootfs: own.mounts });
  const create = lap();
  const waiting = shim.task.wait({ id });
  await shim.task.start({ id });
  const start = lap();
  const { exitStatus } = await waiting;
  const wait = lap();
  const deleted = await shim.remove();
  const remove = lap();
  if (exitStatus !== 0 || deleted.exitStatus !== 0) throw new Error(`${yard.kind.name}: exit status ${exitStatus}`);
  return { bootstrap, create, start, wait, delete: remove, total: bootstrap + create + start + wait + remove };
}

/** `true` by Exec, Start, Wait, Delete in a container that runs. */
export async function oneExec({ shim, id }: StartedShim, execId: string): Promise<Laps> {
  const value = Buffer.from(JSON.stringify(ociProcess(["true"])));
  const lap = stopwatch();
  await shim.task.exec({ id, execId, spec: { typeUrl: SPEC, value } });
  await shim.task.start({ id, execId });
  const { exitStatus } = await shim.task.wait({ id, execId });
  await shim.task.delete({ id, execId });
  const exec = lap();
  if (exitStatus !== 0) throw new Error(`exec: exit status ${exitStatus}`);
  return { exec };
}

/** Each call gives the milliseconds since the last one. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const passed = now - last;
    last = now;
    return passed;
  };
}
