import { text } from "node:stream/consumers";
import type { Manager } from "@trimaran/manager";
import type { Printer } from "./print.ts";

const RUNTIME = "io.containerd.trimaran-gvisor.v2";
const LOOK = "dmesg | head -n 3; cat /proc/version";
const EXEC = "echo from an exec:; cat /proc/version";

/** The same image in a gVisor sandbox, through the other shim: what it takes for its kernel, in a container and in an exec. */
export async function showGvisor(
  manager: Manager,
  steps: ReadonlyMap<string, number>,
  rootfs: string,
  print: Printer,
): Promise<void> {
  print.title(`In a sandbox: ${RUNTIME}, by Debian's runsc`);
  const args = ["sh", "-c", `${LOOK}; trap 'exit 0' TERM; sleep 1000 & wait`];
  const record = await manager.containers.create({ id: "boxed", runtime: RUNTIME, image: rootfs, args, options: {} });
  await using stdio = await manager.openStdio({ terminal: false, stdin: false });
  const output = stdio.stdout ? text(stdio.stdout) : Promise.resolve("");
  const { task } = await manager.tasks.create(record, await manager.containers.specText(record.id), stdio.io);
  const exited = task.wait();
  let ended = false;
  try {
    const begun = performance.now();
    await task.start();
    print.step("create", steps.get("create") ?? 0, "runsc has started a sandbox, with a kernel of its own");
    print.step("start", performance.now() - begun, "sh runs in it");
    await stdio.release();
    const fromExec = await execOutput(manager, record.id, task);
    await task.kill(15);
    const { status } = await exited;
    await task.delete();
    await stdio.ended();
    ended = true;
    print.quote(`${await output}${fromExec}`);
    if (status !== 0) throw new Error(`the container ended with ${status}`);
  } finally {
    if (!ended) {
      await task.kill(9, { all: true }).catch(() => {});
      await task.delete().catch(() => {});
    }
    await manager.containers.remove(record.id);
  }
}

async function execOutput(
  manager: Manager,
  id: string,
  task: Awaited<ReturnType<Manager["tasks"]["create"]>>["task"],
): Promise<string> {
  await using stdio = await manager.openStdio({ terminal: false, stdin: false });
  const output = stdio.stdout ? text(stdio.stdout) : Promise.resolve("");
  const { process } = await manager.containers.spec(id);
  await task.exec("look", { ...process, args: ["sh", "-c", EXEC] }, stdio.io);
  const exited = task.wait("look");
  await task.start("look");
  await stdio.release();
  await exited;
  await task.deleteExec("look");
  await stdio.ended();
  return await output;
}
