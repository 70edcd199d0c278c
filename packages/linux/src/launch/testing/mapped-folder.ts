import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MAGIC } from "../constants.ts";
import { kernelAtLeast, readHostFeatures } from "../host.ts";

/** A folder on a file system that takes id mappings: the usual one, or, as tmpfs does only since 6.3, an ext4 of our own. */
export class MappedFolder implements Disposable {
  readonly path: string;
  readonly #image: string | undefined;

  constructor() {
    const isLacking = statfsSync(tmpdir()).type === MAGIC.tmpfs && !kernelAtLeast(readHostFeatures(), 6, 3);
    this.#image = isLacking ? mkdtempSync(join(tmpdir(), "ext4-")) : undefined;
    this.path = this.#image === undefined ? tmpdir() : mountDisk(this.#image);
  }

  /** Mount a new file system of that kind. */
  mount(path: string): void {
    if (this.#image === undefined) execFileSync("mount", ["-t", "tmpfs", "tmpfs", path]);
    else execFileSync("mount", ["-o", "loop", makeDisk(join(this.#image, "another")), path]);
  }

  [Symbol.dispose](): void {
    if (this.#image === undefined) return;
    execFileSync("umount", [this.path]);
    rmSync(this.#image, { recursive: true });
  }
}

function mountDisk(folder: string): string {
  const path = join(folder, "mounted");
  mkdirSync(path);
  execFileSync("mount", ["-o", "loop", makeDisk(join(folder, "disk")), path]);
  return path;
}

function makeDisk(path: string): string {
  execFileSync("truncate", ["-s", "256M", path]);
  execFileSync("mkfs.ext4", ["-q", path]);
  return path;
}
