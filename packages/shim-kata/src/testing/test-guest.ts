import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DEFAULT_IMAGE_CACHE, ensureImage, type GuestImage } from "../image/ensure.ts";
import { inspectQemu, type QemuBinary } from "../qemu/binary.ts";
import { clockFrequencyKhz } from "../qemu/clock-frequency.ts";
import type { MachineShape } from "../qemu/plan.ts";
import { standInSources } from "./guest-sources.ts";

/** Unpacked kernels stay for the next run: they are 26 MB of somebody's mirror. */
export const KERNELS = join(DEFAULT_IMAGE_CACHE, "kernels");
/** Another one can be tested by its path. */
const QEMU = process.env.TRIMARAN_TEST_QEMU ?? "/usr/bin/qemu-system-x86_64";

/** What tests of whole machines share: an image with the stand-in agent, and a folder for all that they make. */
export interface TestGuest extends AsyncDisposable {
  /** On a file system in memory, short enough for sockets. */
  readonly directory: string;
  readonly image: GuestImage;
  readonly qemu: QemuBinary;
  /** Emulated, because that works everywhere; small. */
  readonly shape: MachineShape;
  readonly signal: AbortSignal;
}

/** Build the image, and see which QEMU there is. What throws leaves nothing. */
export async function openTestGuest(): Promise<TestGuest> {
  await using undo = new AsyncDisposableStack();
  const directory = mkdtempSync("/dev/shm/kata-test-");
  undo.defer(() => rmSync(directory, { recursive: true, force: true }));
  const signal = AbortSignal.timeout(400_000);
  const sources = await standInSources(join(directory, "sources"));
  const cache = { cacheDirectory: join(directory, "cache"), kernelDirectory: KERNELS, download: "missing" } as const;
  const image = await ensureImage(sources, { ...cache, signal });
  const qemu = await inspectQemu(QEMU);
  const common = { accelerator: "tcg", vcpus: 1, memoryMiB: 256, kernelParams: "" } as const;
  const shape = { ...common, debug: false, debugConsole: true, clockKhz: clockFrequencyKhz() };
  const owned = undo.move();
  return { directory, image, qemu, shape, signal, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
