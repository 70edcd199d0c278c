import { readFileSync } from "node:fs";
import { release } from "node:os";
import type { ManagerClient } from "@trimaran/manager";
import type { Printer } from "./print.ts";
import { runAndLook } from "./run-and-look.ts";

const RUNTIME = "io.containerd.trimaran-kata.v2";

/** The same image in two virtual machines, one after the other: the first one's template boots, the second is a clone of it. */
export async function showKata(
  client: ManagerClient,
  steps: ReadonlyMap<string, number>,
  rootfs: string,
  print: Printer,
): Promise<void> {
  print.title(`In a virtual machine: ${RUNTIME}, by QEMU`);
  const look = "uname -r; cut -c1-8 /proc/sys/kernel/random/boot_id";
  const run = (id: string, how: string) =>
    runAndLook(client, {
      ...{ id, runtime: RUNTIME, rootfs, script: look, exec: look },
      started: (startMs) => {
        print.step("create", steps.get("create") ?? 0, how);
        print.step("start", startMs, "sh runs in it");
      },
    });
  await run(
    "machine",
    "a machine has booted and was saved as a template, if there was none; the pod's is a clone of it",
  );
  const { output, fromExec, execMs } = await run(
    "clone",
    "a clone of the template: memory is copied when it is written",
  );
  print.step("exec", execMs, "in the same machine, until its end");
  const [kernel = "", boot = ""] = output.split("\n");
  const [execKernel = "", execBoot = ""] = fromExec.split("\n");
  const hostBoot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);
  print.table(
    ["", "host", "container", "exec"],
    [
      ["kernel", release(), kernel, execKernel],
      ["boot", hostBoot, boot, execBoot],
    ],
  );
}
