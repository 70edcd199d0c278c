import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, errnoOf, ManagerError } from "../errors/manager-error.ts";
import { writeFileAtomic } from "../host/atomic-file.ts";
import { type ImageImporter, resolveImage, rootfsLayers } from "../images/image-reference.ts";
import { readLayeredFile } from "../snapshots/layered-file.ts";
import { buildSpec, type SpecRequest } from "../spec/build-spec.ts";
import type { ContainerOptions } from "../spec/container-options.ts";
import type { OciSpec, OciUser } from "../spec/oci-spec.ts";
import { parseOciSpec } from "../spec/parse-spec.ts";
import { resolveUser } from "../spec/user.ts";
import type { ContainerRecord, Rootfs } from "../stores/container-record.ts";
import type { ContainerStore } from "../stores/container-store.ts";

const ACCOUNT_FILE_LIMIT_BYTES = 1 << 20;

export interface CreateContainerRequest {
  /** Default: twelve random hexadecimal digits. */
  readonly id?: string | undefined;
  readonly runtime: string;
  /** A rootfs directory or an image archive. */
  readonly image: string;
  /** Use the rootfs directory itself, without an overlay over it. */
  readonly direct?: boolean;
  readonly args: readonly string[];
  readonly options: ContainerOptions;
  /** Remove the container when its task has ended. */
  readonly autoRemove?: boolean;
}

/** The containers of one namespace: records, specs and writable layers. A container need not have a task. */
export class Containers {
  readonly #namespace: string;
  readonly #store: ContainerStore;
  readonly #importer: ImageImporter;
  readonly #host: () => Promise<SpecRequest["host"]>;

  constructor(
    namespace: string,
    store: ContainerStore,
    importer: ImageImporter,
    host: () => Promise<SpecRequest["host"]>,
  ) {
    this.#namespace = namespace;
    this.#store = store;
    this.#importer = importer;
    this.#host = host;
  }

  /** Resolve the image, build the spec, take the id. Nothing stays behind after a failure, save an unpacked image. */
  async create(request: CreateContainerRequest): Promise<ContainerRecord> {
    const id = parseIdentifier("id", request.id ?? randomBytes(6).toString("hex"));
    const { rootfs, defaults } = await resolveImage(request.image, request.direct ?? false, this.#importer);
    await this.#store.reserve(id);
    try {
      const spec = await buildSpec({
        namespace: this.#namespace,
        id,
        args: request.args,
        options: request.options,
        image: defaults,
        lookupUser: (user) => lookupUser(user, rootfsLayers(rootfs)),
        host: await this.#host(),
      });
      const record: ContainerRecord = {
        id,
        namespace: this.#namespace,
        runtime: request.runtime,
        image: request.image,
        args: spec.process.args,
        createdAt: new Date().toISOString(),
        rootfs,
        autoRemove: request.autoRemove ?? false,
      };
      await writeFileAtomic(this.#specPath(id), JSON.stringify(spec));
      await this.#store.write(record);
      return record;
    } catch (error) {
      await this.#store.remove(id);
      throw error;
    }
  }

  /** By id, or by the beginning of one if only one begins so. Throws NotFound. */
  async get(idOrPrefix: string): Promise<ContainerRecord> {
    const exact = await this.#store.read(parseIdentifier("id", idOrPrefix));
    if (exact !== undefined) return exact;
    const [match, ...others] = (await this.#store.ids()).filter((id) => id.startsWith(idOrPrefix));
    const record = match === undefined || others.length > 0 ? undefined : await this.#store.read(match);
    if (record !== undefined) return record;
    const why = others.length > 0 ? `${others.length + 1} containers begin so` : "no such container";
    throw new ManagerError(Code.NotFound, `container ${JSON.stringify(idOrPrefix)}: ${why}`, {
      hint: "trimaran ps -a",
    });
  }

  /** By its whole id; undefined if there is none. */
  find(id: string): Promise<ContainerRecord | undefined> {
    return this.#store.read(id);
  }

  /** In the order of their creation. */
  list(): Promise<ContainerRecord[]> {
    return this.#store.list();
  }

  /** The text of the container's config.json. */
  async specText(id: string): Promise<string> {
    return readFile(this.#specPath(id), "utf8");
  }

  async spec(id: string): Promise<OciSpec> {
    return parseOciSpec(this.#specPath(id), await this.specText(id));
  }

  /** Numbers for `USER[:GROUP]`, by the container's files as they are now. */
  async lookupUser(record: ContainerRecord, user: string): Promise<OciUser> {
    return lookupUser(user, await this.#layersNow(record.id, record.rootfs));
  }

  /** Record, writable layer and log. The task must be gone. Already gone is success. */
  remove(id: string): Promise<void> {
    return this.#store.remove(id);
  }

  /** The file that keeps the output of a detached container. */
  logPath(id: string): string {
    return join(this.#store.folder(id), "output.log");
  }

  async #layersNow(id: string, rootfs: Rootfs): Promise<readonly string[]> {
    return rootfsLayers(rootfs, this.#store.folder(id));
  }

  #specPath(id: string): string {
    return join(this.#store.folder(id), "config.json");
  }
}

async function lookupUser(user: string, layers: readonly string[]): Promise<OciUser> {
  const read = (path: string) => readLayeredFile(layers, path, ACCOUNT_FILE_LIMIT_BYTES).catch(ignoreUnreadable);
  return resolveUser(user, { passwd: await read("etc/passwd"), group: await read("etc/group") });
}

function ignoreUnreadable(error: unknown): undefined {
  if (errnoOf(error) !== "ENOTDIR" && errnoOf(error) !== "ELOOP") throw error;
  return undefined;
}
