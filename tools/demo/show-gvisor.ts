import type { ManagerClient } from "@trimaran/manager";
import type { Printer } from "./print.ts";
import { runAndLook } from "./run-and-look.ts";

const RUNTIME = "io.containerd.trimaran-gvisor.v2";

/** The same image in a gVisor sandbox, through the other shim: what it takes for its kernel, in a container and in an exec. */
export async function showGvisor(
  client: ManagerClient,
  steps: ReadonlyMap<string, number>,
  rootfs: string,
  print: Printer,
): Promise<void> {
  print.title(`In a sandbox: ${RUNTIME}, by Debian's runsc`);
  const { output, fromExec } = await runAndLook(client, {
    ...{ id: "boxed", runtime: RUNTIME, rootfs },
    script: "dmesg | head -n 3; cat /proc/version",
    exec: "echo from an exec:; cat /proc/version",
    started: (startMs) => {
      print.step("create", steps.get("create") ?? 0, "runsc has started a sandbox, with a kernel of its own");
      print.step("start", startMs, "sh runs in it");
    },
  });
  print.quote(`${output}${fromExec}`);
}
