import { globSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";

/** A module of the guest's kernel, and why it is there. */
export interface WantedModule {
  readonly name: string;
  readonly reason: string;
}

/** What the guest needs that Debian's cloud kernel has as modules; what these depend on comes along. */
export const WANTED_MODULES: readonly WantedModule[] = [
  { name: "virtio_mmio", reason: "microvm's bus" },
  { name: "virtio_blk", reason: "the disk with the image" },
  { name: "erofs", reason: "the image's file system" },
  { name: "virtio_console", reason: "the ports agent.0, fs.0, debug.0" },
  { name: "virtio_net", reason: "the pod's network" },
  { name: "virtio-rng", reason: "entropy, also after a clone" },
  { name: "virtio_scsi", reason: "block devices of the pod: SCSI disks can come while a guest runs" },
  { name: "sd_mod", reason: "their driver" },
  { name: "fuse", reason: "the pod's shared directory" },
  { name: "overlay", reason: "containers that use overlays themselves" },
];

/** A module as it goes into the initramfs. */
export interface KernelModule {
  readonly name: string;
  readonly reason: string;
  readonly content: Buffer;
}

/**
 * Read the modules of `wanted` below `directory`, each after those that it depends on. The signature of a module stays on it.
 * Throws an Error naming a module that is not there; one that `builtin` (modules.builtin) names is left out.
 */
export function orderModules(directory: string, wanted: readonly WantedModule[], builtin: string): KernelModule[] {
  const files = new Map(globSync("**/*.ko", { cwd: directory }).map((path) => [normal(basename(path, ".ko")), path]));
  const isBuiltin = new Set(builtin.split("\n").map((path) => normal(basename(path, ".ko"))));
  const ordered = new Map<string, KernelModule>();
  const add = (name: string, reason: string, trail: readonly string[]): void => {
    if (ordered.has(normal(name)) || isBuiltin.has(normal(name)) || trail.includes(name)) return;
    const path = files.get(normal(name));
    if (path === undefined) throw new Error(`kernel module ${name}: not below ${directory}`);
    const content = readFileSync(join(directory, path));
    for (const each of dependencies(content)) add(each, `${name} needs it`, [...trail, name]);
    ordered.set(normal(name), { name: basename(path, ".ko"), reason, content });
  };
  for (const { name, reason } of wanted) add(name, reason, []);
  return [...ordered.values()];
}

/** The text `depends=A,B` is one of the NUL-terminated strings of a module's section .modinfo. */
export function dependencies(module: Buffer): string[] {
  const text = /\0depends=([^\0]*)\0/.exec(module.toString("latin1"))?.[1] ?? "";
  return text.split(",").filter((name) => name !== "");
}

function normal(name: string): string {
  return name.replaceAll("-", "_");
}
