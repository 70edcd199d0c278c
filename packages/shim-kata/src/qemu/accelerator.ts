import { accessSync, constants, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { GuestImage } from "../image/ensure.ts";
import { withMachineLock } from "../machine-lock.ts";
import type { QemuBinary } from "./binary.ts";
import { readLastWords } from "./console.ts";
import { type Accelerator, planVm } from "./plan.ts";
import type { StartVm } from "./vm.ts";

/** A guest that works says so in less than a second. */
const PROBE_LIMIT_MS = 5000;
/** What init says where the command line has `-- probe`. */
const PROBE_OK = "init: probe: ok";
const PROBE_MEMORY_MIB = 256;

/** What runs guests here, and why nothing faster does. */
export interface AcceleratorChoice {
  readonly accelerator: Accelerator;
  /** Why kvm is not used; empty where it is. */
  readonly why: string;
}

/** How to find out. */
export interface ProbeOptions {
  readonly qemu: QemuBinary;
  readonly image: GuestImage;
  /** The choice is remembered in `accelerator.json` there, for this boot of the host and this QEMU. */
  readonly stateDirectory: string;
  readonly start: StartVm;
  readonly signal: AbortSignal;
  /** Default: /dev/kvm. */
  readonly device?: string;
}

/**
 * kvm where a guest really boots with it, else tcg. A /dev/kvm that opens proves nothing: nested and emulated ones may fail or hang later.
 * Once per boot; others wait for the one that probes.
 */
export async function chooseAccelerator(options: ProbeOptions): Promise<AcceleratorChoice> {
  const device = options.device ?? "/dev/kvm";
  if (!isUsable(device)) return { accelerator: "tcg", why: `${device} can't be opened` };
  const { qemu, stateDirectory } = options;
  const file = join(stateDirectory, "accelerator.json");
  const key = [bootId(), qemu.identity, device].join(" ");
  const known = recall(file, key);
  if (known) return known;
  return await withMachineLock(file, options.signal, async () => {
    const meanwhile = recall(file, key);
    if (meanwhile) return meanwhile;
    const choice = await probe(options);
    remember(stateDirectory, file, { key, ...choice });
    return choice;
  });
}

/** Boot to process 1 with kvm. QEMU ends by itself when the guest resets. */
async function probe({ qemu, image, stateDirectory, start }: ProbeOptions): Promise<AcceleratorChoice> {
  const directory = join(stateDirectory, "probe"); // the caller holds the lock
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const shape = {
    accelerator: "kvm",
    vcpus: 1,
    memoryMiB: PROBE_MEMORY_MIB,
    debug: false,
    debugConsole: false,
    clockKhz: undefined,
  } as const;
  const request = { qemu, image, directory, memory: { kind: "own" }, network: { kind: "none" } } as const;
  const plan = planVm({ ...request, shape: { ...shape, kernelParams: "-- probe" } });
  try {
    const vm = await start(plan);
    const timer = setTimeout(vm.kill, PROBE_LIMIT_MS);
    const how = await vm.exited;
    clearTimeout(timer);
    const { lines } = readLastWords(plan.paths.console);
    if (lines.some((line) => line.includes(PROBE_OK))) return { accelerator: "kvm", why: "" };
    return { accelerator: "tcg", why: `a guest does not boot with kvm (qemu: ${how}; ${PROBE_LIMIT_MS} ms at most)` };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function recall(file: string, key: string): AcceleratorChoice | undefined {
  try {
    const parsed = JSON.parse(readFileSync(file, "utf8")) as { key?: unknown; accelerator?: unknown; why?: unknown };
    if (parsed.key !== key || (parsed.accelerator !== "kvm" && parsed.accelerator !== "tcg")) return undefined;
    return { accelerator: parsed.accelerator, why: String(parsed.why) };
  } catch {
    return undefined; // none yet
  }
}

function remember(directory: string, file: string, choice: AcceleratorChoice & { readonly key: string }): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    writeFileSync(`${file}.new`, `${JSON.stringify(choice)}\n`, { mode: 0o600 });
    renameSync(`${file}.new`, file);
  } catch {
    // a full disk costs the next task server a probe
  }
}

function isUsable(device: string): boolean {
  try {
    accessSync(device, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}
