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
  const run = (id: string, how: string) =>
    runAndLook(client, {
      ...{ id, runtime: RUNTIME, rootfs },
      script: "uname -r",
      exec: "uname -r; cat /proc/sys/kernel/random/boot_id",
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
  print.step("exec", execMs, "in the same machine, and its end");
  const [kernel = "", boot = ""] = fromExec.split("\n");
  print.table(
    ["", "host", "container", "exec"],
    [["kernel", release(), output.trim(), kernel].map(String), ["boot id", "", "", boot]],
  );
}
