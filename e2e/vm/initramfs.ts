import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type CpioEntry, DIRECTORY_MODE, encodeCpio, FILE_MODE, orderModules, PROGRAM_MODE } from "@trimaran/shim-kata";
import type { GuestKernel } from "../../tools/debian/guest-kernel.ts";
import { shellQuote } from "../harness/process.ts";

/** Modules that a guest needs to see the host's files, the ports and the disk; what tests make: loop devices, pairs of interfaces; and what criu asks. */
const MODULES = ["virtio_pci", "virtio_console", "virtiofs", "overlay", "virtio_blk", "loop", "veth"]
  .concat([
    "unix_diag",
    "inet_diag",
    "tcp_diag",
    "udp_diag",
    "raw_diag",
    "netlink_diag",
    "af_packet_diag",
    "tun",
    "nf_tables",
    "nft_compat",
    "xt_mark",
  ])
  .map((name) => ({ name, reason: "" }));
const FOLDERS = ["bin", "modules", "task"].map((path) => ({ path, mode: DIRECTORY_MODE }));

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
  const builtin = await readFile(join(kernel.modules, "modules.builtin"), "utf8");
  const modules = orderModules(kernel.modules, MODULES, builtin);
  const text = (path: string, lines: readonly string[]): CpioEntry => ({
    path,
    mode: FILE_MODE,
    content: Buffer.from(`${lines.join("\n")}\n`),
  });
  return encodeCpio([
    ...FOLDERS,
    { path: "init", mode: PROGRAM_MODE, content: await readFile(join(import.meta.dirname, "guest/init.sh")) },
    { path: "bin/busybox", mode: PROGRAM_MODE, content: await readFile("/bin/busybox") },
    ...modules.map(({ name, content }) => ({ path: `modules/${name}.ko`, mode: FILE_MODE, content })),
    text(
      "modules/order",
      modules.map(({ name }) => `${name}.ko`),
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
