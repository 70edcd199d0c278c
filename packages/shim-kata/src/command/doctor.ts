import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type DoctorCheck, toCheck } from "@trimaran/linux";
import { isProgram } from "@trimaran/shim-core";
import { type KataConfig, parseConfig } from "../config/config.ts";
import type { GuestSources } from "../image/contents.ts";
import { ensureImage, type GuestImage } from "../image/ensure.ts";
import { openOwnImage } from "../image/own-image.ts";
import { chooseAccelerator } from "../qemu/accelerator.ts";
import { findQemu, inspectQemu, type QemuBinary } from "../qemu/binary.ts";
import { startVm } from "../qemu/child-vm.ts";

const GROUP = "Kata";
const DEVICE = "/dev/kvm";
const KVM = { group: GROUP, name: "kvm", status: "note" } as const;

/** QEMU, the guest's image, and whether a guest really boots with kvm: it is tried, whatever an earlier task server has found. */
export async function doctor(
  sources: GuestSources,
  options: { readonly searchPath: string; readonly signal: AbortSignal; readonly cacheDirectory?: string | undefined },
): Promise<DoctorCheck[]> {
  const config = parseConfig([]);
  const { path: virtiofsd } = config.virtiofsd;
  const share = toCheck({ group: GROUP, name: "virtiofsd", found: virtiofsd }, isProgram(virtiofsd), {
    status: "problem",
    fix: "apt-get install qemu-system-common, or set hypervisor.qemu.virtio_fs_daemon",
  });
  let qemu: QemuBinary;
  try {
    qemu = await inspectQemu(findQemu(config.qemuPath, options.searchPath));
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    return [share, { group: GROUP, name: "qemu", status: "problem", found, fix: "apt-get install qemu-system-x86" }];
  }
  const binary: DoctorCheck = { group: GROUP, name: "qemu", status: "ok", found: `${qemu.version}, ${qemu.path}` };
  const image = await findImage(config, sources, options);
  if ("status" in image)
    return [share, binary, image, { ...KVM, found: "can't be tried without an image", fix: image.fix ?? "" }];
  const built: DoctorCheck = { group: GROUP, name: "image", status: "ok", found: image.directory ?? image.disk };
  return [share, binary, built, await checkKvm(qemu, image, options.signal)];
}

/** The one that a pod would have; made if it is not there, as by the first pod. */
async function findImage(
  config: KataConfig,
  sources: GuestSources,
  { signal, cacheDirectory }: Parameters<typeof doctor>[1],
): Promise<GuestImage | DoctorCheck> {
  try {
    if (config.ownImage) return openOwnImage(config.ownImage);
    const cache = cacheDirectory === undefined ? {} : { cacheDirectory };
    return await ensureImage(sources, { ...cache, download: "never", signal });
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    return { group: GROUP, name: "image", status: "problem", found, fix: "trimaran kata image build" };
  }
}

async function checkKvm(qemu: QemuBinary, image: GuestImage, signal: AbortSignal): Promise<DoctorCheck> {
  const fix = "not needed: machines are emulated (tcg), several times slower; a host with virtualization has it";
  if (!existsSync(DEVICE)) return { ...KVM, found: `no ${DEVICE}`, fix };
  const stateDirectory = mkdtempSync(join(tmpdir(), "trimaran-doctor-"));
  try {
    const { accelerator, why } = await chooseAccelerator({ qemu, image, stateDirectory, start: startVm, signal });
    return accelerator === "kvm"
      ? { ...KVM, status: "ok", found: "a guest boots with it" }
      : { ...KVM, found: why, fix };
  } finally {
    rmSync(stateDirectory, { recursive: true, force: true });
  }
}
