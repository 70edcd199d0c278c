import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Writable } from "node:stream";
import { ensureGuestKernel } from "../../tools/debian.ts";
import { buildInitramfs, type GuestNames, type GuestTask } from "./initramfs.ts";
import { startQemu } from "./qemu.ts";
import { HostShare } from "./share.ts";
import { stopChild } from "./stop-child.ts";

/** How a machine is to be. */
export interface MachineOptions {
  /** Gets all that the task writes. */
  readonly output: Writable;
  /** The machine is stopped and the call throws when it aborts. */
  readonly signal: AbortSignal;
  /** Default: 2048. */
  readonly memoryMib?: number;
  /** Where its files are while it runs, in a folder of its own. Default: the system's for temporary files. */
  readonly folder?: string;
  /** PID 1: a script of ours, which is quicker, or this machine's systemd. Default: script. */
  readonly init?: GuestNames["init"];
  /** Hybrid needs systemd, which mounts both. Default: v2 alone. */
  readonly cgroups?: "v2" | "hybrid";
  /** The security module that is on. Default: none. */
  readonly securityModule?: "apparmor" | "selinux";
  /** Added to the kernel's command line. */
  readonly kernelArgs?: readonly string[];
}

const ROOT = join(import.meta.dirname, "../..");
const NAMES = { root: ROOT, outputPort: "trimaran.output", resultPort: "trimaran.result" };
/** What makes the kernel, and systemd, mount these. */
const CGROUP_ARGS = {
  v2: ["cgroup_no_v1=all"],
  hybrid: ["systemd.unified_cgroup_hierarchy=0", "systemd.legacy_systemd_cgroup_controller=0"],
} as const;
const DISK_BYTES = 64 << 20;
const CONSOLE_TAIL_LINES = 40;

/**
 * Run a task in a virtual machine of its own, with cgroup v2 alone unless it is to be hybrid, whose files are this machine's, below a tmpfs that takes what is written.
 * Returns the task's exit status. Throws if the machine does not get that far, with the end of its console. Nothing is left, whatever happens.
 */
export async function runInGuest(task: GuestTask, options: MachineOptions): Promise<number> {
  const kernel = await ensureGuestKernel();
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(options.folder ?? tmpdir(), "trimaran-vm-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const file = (name: string) => join(folder, name);
  await writeFile(file("initramfs"), await buildInitramfs(kernel, { ...NAMES, init: options.init ?? "script" }, task));
  await writeFile(file("disk"), "");
  await truncate(file("disk"), DISK_BYTES);
  const share = undo.use(
    await HostShare.open(folder, separateMounts([ROOT, dirname(kernel.vmlinuz), process.execPath])),
  );
  options.signal.throwIfAborted();
  const qemu = undo.adopt(
    startQemu({
      folder,
      kernel: kernel.vmlinuz,
      initramfs: "initramfs",
      shareSocket: share.socketPath,
      disk: "disk",
      console: "console",
      ...NAMES,
      memoryMib: options.memoryMib ?? 2048,
      kernelArgs: [
        ...CGROUP_ARGS[options.cgroups ?? "v2"],
        `lsm=${options.securityModule ?? ""}`,
        ...(options.kernelArgs ?? []),
      ],
    }),
    stopChild,
  );
  await ended(qemu, options);
  const result = await readFile(file("result"), "utf8").catch(() => "");
  if (!/^\d+\n$/.test(result)) throw new Error(`the guest ended before its task did\n${consoleTail(file("console"))}`);
  return Number(result);
}

/** Wait for QEMU's own end. Throws why if it fails or has to be stopped. */
async function ended(qemu: ChildProcess, { signal, output }: MachineOptions): Promise<void> {
  let complaint = "";
  qemu.stderr?.setEncoding("utf8").on("data", (text: string) => {
    complaint += text;
  });
  qemu.stdout?.pipe(output, { end: false });
  const [code] = await once(qemu, "close", { signal }).catch((error: unknown) => {
    throw signal.aborted ? signal.reason : error;
  });
  if (code !== 0) throw new Error(`QEMU: exit status ${code}\n${complaint.trim()}`);
}

/** Mount points other than `/` on which these paths lie: a bind of `/` does not show what is there. */
function separateMounts(paths: readonly string[]): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").trim().split("\n");
  const points = lines.map((line) => line.split(" ")[4] ?? "/").filter((point) => point !== "/");
  const holds = (point: string) => paths.some((path) => path.startsWith(`${point}/`));
  return [...new Set(points.filter(holds))].sort();
}

function consoleTail(path: string): string {
  const lines = readFileSync(path, "utf8").trimEnd().split(/\r?\n/);
  return lines.slice(-CONSOLE_TAIL_LINES).join("\n");
}
