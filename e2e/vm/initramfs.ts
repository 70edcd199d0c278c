import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type CpioFile, encodeCpio } from "../../tools/guest/cpio.ts";
import type { GuestKernel } from "../../tools/guest/kernel.ts";
import { shellQuote } from "../harness/process.ts";

/** Modules that a guest needs to see the host's files, the ports and the disk. Others are found in /lib/modules by their alias. */
const MODULES = ["virtio_pci", "virtio_console", "virtiofs", "overlay", "virtio_blk"];

/** What the guest runs. */
export interface GuestTask {
  readonly argv: readonly string[];
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>;
  /** Absolute, the same as on this machine. */
  readonly cwd: string;
}

/** Names that the host and the guest's scripts have agreed on, as shell variables of /task/guest. */
export interface GuestNames {
  /** The folder of this project. */
  readonly root: string;
  /** What is PID 1: a script, or systemd, which starts the task as a service. */
  readonly init: "script" | "systemd";
  readonly outputPort: string;
  readonly resultPort: string;
}

/** The initramfs for one run: busybox, modules, the scripts' first half, and the task. About 3 MB. */
export async function buildInitramfs(kernel: GuestKernel, names: GuestNames, task: GuestTask): Promise<Buffer> {
  const modules = kernel.moduleFiles(...MODULES);
  const text = (path: string, lines: readonly string[]): CpioFile => ({
    path,
    data: Buffer.from(`${lines.join("\n")}\n`),
  });
  return encodeCpio([
    { path: "init", mode: 0o755, data: await readFile(join(import.meta.dirname, "guest/init.sh")) },
    { path: "bin/busybox", mode: 0o755, data: await readFile("/bin/busybox") },
    ...(await Promise.all(
      modules.map(async (path) => ({ path: `modules/${basename(path)}`, data: await readFile(path) })),
    )),
    text(
      "modules/order",
      modules.map((path) => basename(path)),
    ),
    text("task/guest", [
      `ROOT=${shellQuote(names.root)}`,
      `INIT=${names.init}`,
      `OUTPUT=${shellQuote(names.outputPort)}`,
      `RESULT=${shellQuote(names.resultPort)}`,
      `MODULES=${shellQuote(kernel.modules)}`,
    ]),
    text(
      "task/environment",
      Object.entries(task.env).map(([name, value]) => `export ${name}=${shellQuote(value)}`),
    ),
    text("task/cwd", [task.cwd]),
    text("task/command", [`exec ${task.argv.map(shellQuote).join(" ")}`]),
  ]);
}
