import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Directories, layout } from "../bundles/directories.ts";
import type { Identifier } from "../bundles/identifier.ts";
import { Code, errnoOf, ManagerError } from "../errors/manager-error.ts";
import { writeFileAtomic } from "../host/atomic-file.ts";
import { type ContainerRecord, parseContainerRecord } from "./container-record.ts";

/**
 * Container records of one namespace, one folder each: container.json, config.json, the writable layer and the log. The folder's
 * own mkdir is what makes an id taken, between processes too.
 */
export class ContainerStore {
  readonly #folder: string;

  constructor(dirs: Directories, namespace: Identifier) {
    this.#folder = layout.containers(dirs, namespace);
  }

  /** The folder of one container; it need not exist. */
  folder(id: string): string {
    return join(this.#folder, id);
  }

  /** Take the id. Throws AlreadyExists. */
  async reserve(id: string): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o711 });
    await mkdir(this.folder(id), { mode: 0o711 }).catch((error: unknown) => {
      if (errnoOf(error) !== "EEXIST") throw error;
      throw new ManagerError(Code.AlreadyExists, `container ${JSON.stringify(id)}: the id is taken`, {
        hint: `trimaran rm ${id}`,
      });
    });
  }

  async write(record: ContainerRecord): Promise<void> {
    await writeFileAtomic(this.#recordPath(record.id), `${JSON.stringify(record, undefined, 2)}\n`);
  }

  /** Undefined for an id that is unknown, or taken but not yet written. */
  async read(id: string): Promise<ContainerRecord | undefined> {
    const path = this.#recordPath(id);
    try {
      return parseContainerRecord(path, await readFile(path, "utf8"));
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }

  /** All records, by time of creation. */
  async list(): Promise<ContainerRecord[]> {
    const records = await Promise.all((await this.ids()).map((id) => this.read(id)));
    return records
      .filter((record) => record !== undefined)
      .sort((a, b) => a.createdAt.localeCompare(b.createdAt) || a.id.localeCompare(b.id));
  }

  /** The folder of the id and all in it, the writable layer too. Already gone is success. */
  async remove(id: string): Promise<void> {
    const doomed = join(this.#folder, `.${id}`);
    await rm(doomed, { recursive: true, force: true });
    await rename(this.folder(id), doomed).catch((error: unknown) => {
      if (errnoOf(error) !== "ENOENT") throw error;
    });
    await rm(doomed, { recursive: true, force: true });
  }

  /** Ids that are taken, with a record or without. */
  async ids(): Promise<string[]> {
    const names = await readdir(this.#folder).catch((error: unknown): string[] => {
      if (errnoOf(error) === "ENOENT") return [];
      throw error;
    });
    return names.filter((name) => !name.startsWith("."));
  }

  #recordPath(id: string): string {
    return join(this.folder(id), "container.json");
  }
}
