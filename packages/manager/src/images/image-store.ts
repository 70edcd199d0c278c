import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Directories, layout } from "../bundles/directories.ts";
import { Code, errnoOf, ManagerError, messageOf } from "../errors/manager-error.ts";
import { writeFileAtomic } from "../host/atomic-file.ts";
import { pathExists } from "../host/path-exists.ts";
import { TarError } from "../layers/tar/tar-header.ts";
import { LayerThreads } from "../layers/thread/layer-threads.ts";
import { LayerError } from "../layers/unpack/layer-error.ts";
import type { ImageDefaults } from "../spec/container-options.ts";
import { findImage } from "./archive/find-image.ts";
import { ImageArchive, invalid } from "./archive/image-archive.ts";
import { type ImageConfig, parseImageConfig } from "./image-config.ts";
import type { ImageImporter } from "./image-reference.ts";
import { chainIds, LayerStore } from "./layer-store.ts";

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64", arm64: "arm64" };

/** Images that were imported from archives. An archive that has not changed since is not read again. */
export class ImageStore implements ImageImporter {
  readonly #folder: string;
  readonly #layers: LayerStore;

  constructor(dirs: Directories) {
    this.#folder = layout.images(dirs);
    this.#layers = new LayerStore(dirs);
  }

  /** Unpack the archive's one image for this machine. Layer paths come topmost first. Throws InvalidArgument. */
  async importArchive(path: string): Promise<{ readonly layers: readonly string[]; readonly defaults: ImageDefaults }> {
    const file = await open(path, "r");
    try {
      const record = join(this.#folder, `${await fileIdentity(path, file)}.json`);
      const config = (await this.#remembered(record)) ?? (await this.#import(file));
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      await writeFileAtomic(record, JSON.stringify(config.document));
      return { layers: this.#paths(config.parsed).reverse(), defaults: config.parsed.defaults };
    } catch (error) {
      if (!(error instanceof TarError) && !(error instanceof LayerError)) throw error;
      throw new ManagerError(Code.InvalidArgument, `image ${JSON.stringify(path)}: ${messageOf(error)}`, {
        cause: error,
      });
    } finally {
      await file.close();
    }
  }

  async #remembered(record: string): Promise<{ document: unknown; parsed: ImageConfig } | undefined> {
    try {
      const document: unknown = JSON.parse(await readFile(record, "utf8"));
      const parsed = parseImageConfig(document);
      const there = await Promise.all(this.#paths(parsed).map((path) => pathExists(path)));
      return there.every(Boolean) ? { document, parsed } : undefined;
    } catch (error) {
      if (errnoOf(error) === "ENOENT" || error instanceof SyntaxError) return undefined;
      throw error;
    }
  }

  async #import(file: FileHandle): Promise<{ document: unknown; parsed: ImageConfig }> {
    const archive = await ImageArchive.open(file);
    const { config: document, layers } = await findImage(archive, ARCHITECTURES[process.arch] ?? process.arch);
    const parsed = parseImageConfig(document);
    if (layers.length !== parsed.diffIds.length || layers.length === 0) {
      throw invalid(`${layers.length} layers, but the config has ${parsed.diffIds.length}`);
    }
    await using threads = new LayerThreads({ mountRoot: this.#folder });
    const chain = chainIds(parsed.diffIds);
    const paths = this.#paths(parsed);
    for (const [index, chainId] of chain.entries()) {
      const [diffId = "", member = ""] = [parsed.diffIds[index], layers[index]];
      const lowers = paths.slice(0, index).reverse();
      await this.#layers.ensure({ chainId, diffId, lowers }, archive.extent(member), threads);
    }
    return { document, parsed };
  }

  /** Bottom up, as the config has them. */
  #paths({ diffIds }: ImageConfig): string[] {
    return chainIds(diffIds).map((chainId) => this.#layers.path(chainId));
  }
}

/** Changes when the file does: its path, inode, size and both times. */
async function fileIdentity(path: string, file: FileHandle): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await file.stat({ bigint: true });
  return createHash("sha256").update([path, dev, ino, size, mtimeNs, ctimeNs].join("\0")).digest("hex");
}
