import type { MachineShape } from "./plan.ts";

/** Why each is there; the order is the command line's. */
const ALWAYS = [
  "console=ttyS0",
  "panic=-1", // a panic is a reset at once, and with -no-reboot QEMU's end: the host sees it
  "reboot=t", // no firmware to ask
  "mitigations=off", // one pod's processes only; between pods it is the host's business
  "lsm=", // nobody has policies in there
  "cryptomgr.notests", // half a second of an emulated boot
  "init_on_alloc=0", // a fresh machine's memory is zero
  "rdinit=/init",
] as const;

/** The kernel's command line, with what the operator added at the end: there it wins. */
export function kernelCommandLine({ debug, clockKhz, kernelParams, accelerator }: MachineShape): string {
  const loud = debug ? ["loglevel=7"] : ["quiet", "loglevel=4"];
  // The counter is the host's own. The kernel would compare it with an emulated timer that loses ticks on a busy host, and give it up: the
  // guest's clock would then be late, and its shortest sleep 4 ms.
  const clock = accelerator === "tcg" && clockKhz !== undefined ? [`tsc_early_khz=${clockKhz}`, "tsc=reliable"] : [];
  return [...ALWAYS, ...loud, ...clock, ...(kernelParams === "" ? [] : [kernelParams])].join(" ");
}
