import { existsSync, renameSync, rmSync } from "node:fs";
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../errors/manager-error.ts";
import type { SnapshotterDriver } from "../gc/snapshotter-driver.ts";
import type { DiskUsage } from "../layers/diff/disk-usage.ts";
import type { Mount } from "../layers/mount/mount.ts";
import type { LayerThreads } from "../layers/thread/layer-threads.ts";
import { isInUserNamespace } from "../layers/thread/thread-root.ts";
import type { MappedRoot } from "./id-mapping.ts";
import { isSmallTree } from "./small-tree.ts";
import { snapshotMounts } from "./snapshot-mounts.ts";

/** A snapshot's directory that is made, but has no id yet. Disposing removes it, unless it was installed. */
export interface NewDirectory extends AsyncDisposable {
  /** Give it its id, at once: to be called in the transaction that puts the snapshot on record. */
  install(id: string): void;
}

/** What a new snapshot's directory is to be like. */
export interface NewDirectoryOptions {
  readonly kind: "active" | "view";
  /** Id of the snapshot below. */
  readonly parentId: string | undefined;
  /** Owner of the root directory, instead of the parent's. */
  readonly owner: MappedRoot | undefined;
}

const NEW = "new-";
const ID = /^[1-9]\d*$/;
const SMALL_ENTRIES = 64;
const INDEX_PARAMETER = "/sys/module/overlay/parameters/index";

/**
 * Directories of overlayfs snapshots: `<root>/snapshots/<id>/fs`, and `work` for active ones. Knows no namespaces, names or labels.
 * A directory appears whole, by a rename.
 */
export class SnapshotDirectories implements SnapshotterDriver {
  readonly #folder: string;
  readonly #threads: LayerThreads;
  readonly #overlayOptions: readonly string[];

  private constructor(folder: string, threads: LayerThreads, overlayOptions: readonly string[]) {
    this.#folder = folder;
    this.#threads = threads;
    this.#overlayOptions = overlayOptions;
  }

  /** Make the folders that are missing and remove what a crash has left half made, unless other processes may be making it. */
  static async open(root: string, threads: LayerThreads, isShared = false): Promise<SnapshotDirectories> {
    const folder = join(root, "snapshots");
    for (const path of [root, folder]) {
      await mkdir(path, { recursive: true, mode: 0o700 });
      await chmod(path, 0o700);
    }
    const left = isShared ? [] : (await readdir(folder)).filter((name) => name.startsWith(NEW));
    await Promise.all(left.map((name) => rm(join(folder, name), { recursive: true, force: true })));
    return new SnapshotDirectories(folder, threads, overlayOptions());
  }

  /** Make a directory. Throws ENOENT if the parent's is not there. */
  async make({ kind, parentId, owner }: NewDirectoryOptions): Promise<NewDirectory> {
    const temporary = await mkdtemp(join(this.#folder, NEW)); // 0700
    const remove = () => rm(temporary, { recursive: true, force: true });
    try {
      const fs = join(temporary, "fs");
      await mkdir(fs);
      const { uid, gid } = owner ?? (parentId === undefined ? await lstat(fs) : await lstat(this.fs(parentId)));
      await chown(fs, uid, gid);
      await chmod(fs, 0o755); // whatever the umask
      if (kind === "active") {
        await mkdir(join(temporary, "work"));
        await chmod(join(temporary, "work"), 0o711);
      }
    } catch (error) {
      await remove();
      throw error;
    }
    let isInstalled = false;
    return {
      install: (id) => {
        renameSync(temporary, this.#directory(id));
        isInstalled = true;
      },
      // After a transaction that failed late the directory has an id and no record: garbage for the next collection.
      [Symbol.asyncDispose]: async () => {
        if (!isInstalled) await remove();
      },
    };
  }

  /** Whether a directory has that id, on record or not. */
  has(id: string): boolean {
    return existsSync(this.#directory(id));
  }

  /** The mounts that show a snapshot; `parentIds` the nearest first. */
  mounts(kind: "active" | "view", id: string, parentIds: readonly string[]): Mount[] {
    const lowers = parentIds.map((parent) => this.fs(parent));
    return snapshotMounts({ kind, directory: this.#directory(id), lowers }, this.#overlayOptions);
  }

  /** Root directory of what the snapshot itself has. */
  fs(id: string): string {
    return join(this.#directory(id), "fs");
  }

  /** What the snapshot itself takes on disk, now. */
  usage(id: string): Promise<DiskUsage> {
    return this.#threads.run({ kind: "usage", directory: this.fs(id) });
  }

  async ids(): Promise<readonly string[]> {
    return (await readdir(this.#folder)).filter((name) => ID.test(name));
  }

  async remove(id: string): Promise<void> {
    if (!ID.test(id)) throw new RangeError(`snapshot id ${JSON.stringify(id)}`);
    try {
      await lstat(this.#directory(id));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return;
      throw error;
    }
    // A container that has written next to nothing is the common case, and a thread costs 11 MB and 30 ms.
    if (await isSmallTree(this.#directory(id), SMALL_ENTRIES)) rmSync(this.#directory(id), { recursive: true });
    else await this.#threads.run({ kind: "remove", directory: this.#directory(id) });
  }

  #directory(id: string): string {
    return join(this.#folder, id);
  }
}

/** An index would make two overlays on one lower directory fail where the kernel turns it on by default. */
function overlayOptions(): string[] {
  return [...(existsSync(INDEX_PARAMETER) ? ["index=off"] : []), ...(isInUserNamespace() ? ["userxattr"] : [])];
}
