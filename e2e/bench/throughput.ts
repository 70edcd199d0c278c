import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { Shim } from "@trimaran/shim-check";
import { runOk } from "../harness/process.ts";
import type { ShimYard } from "../harness/shims.ts";
import type { Laps } from "./latency.ts";

const MIB = 512;

/** Milliseconds that 512 MiB of a container's stdout take, from Start to the reader's end of file; the reader throws them away. */
export async function streamOut(yard: ShimYard): Promise<Laps> {
  const { bundle, options } = await yard.prepare(["dd", "if=/dev/zero", "bs=64k", `count=${MIB * 16}`]);
  await using own = bundle;
  const { id } = own;
  const [stdout, stderr] = [join(own.path, "stdout"), join(own.path, "stderr")];
  await runOk(["mkfifo", "-m", "600", stdout, stderr]);
  const ended = Promise.all([stdout, stderr].map(readAway));
  await using shim = await Shim.start(options);
  await shim.task.create({ id, bundle: own.path, rootfs: own.mounts, stdout, stderr });
  const began = performance.now();
  await shim.task.start({ id });
  await ended;
  const stream = performance.now() - began;
  const { exitStatus } = await shim.task.wait({ id });
  await shim.remove();
  if (exitStatus !== 0) throw new Error(`${yard.kind.name}: dd: exit status ${exitStatus}`);
  return { [`stdout, ${MIB} MiB`]: stream };
}

/** Read a FIFO to its end. */
async function readAway(path: string): Promise<void> {
  const reader = spawn("dd", [`if=${path}`, "of=/dev/null", "bs=64k"], { stdio: "ignore" });
  const [code] = await once(reader, "exit");
  if (code !== 0) throw new Error(`${path}: the reader ended with ${code}`);
}
