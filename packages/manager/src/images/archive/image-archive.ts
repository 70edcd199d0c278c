import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path/posix";
import { Code, ManagerError } from "../../errors/manager-error.ts";
import { FileSource } from "../../layers/tar/byte-source.ts";
import { readTar } from "../../layers/tar/tar-reader.ts";
import type { FileExtent } from "../../layers/unpack/read-extent.ts";

const JSON_LIMIT_BYTES = 16 << 20;
const LINK_LIMIT = 8;

/** Where a member's content lies in the archive. */
interface Extent {
  readonly offset: number;
  readonly sizeBytes: number;
}

/** An image archive on disk: its members by name, read at random. The handle stays the caller's. */
export class ImageArchive {
  readonly #file: FileHandle;
  readonly #files = new Map<string, Extent>();
  readonly #links = new Map<string, string>();

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Reads all headers, and no content. Throws TarError. */
  static async open(file: FileHandle): Promise<ImageArchive> {
    const archive = new ImageArchive(file);
    const { size } = await file.stat();
    for await (const { name, type, linkName, offset, sizeBytes } of readTar(new FileSource(file, 0, size))) {
      const clean = join("/", name).slice(1);
      if (type === "0" || type === "7") archive.#files.set(clean, { offset, sizeBytes });
      // docker's old archives have a layer twice: the second time as a link.
      else if (type === "2") archive.#links.set(clean, join("/", clean, "..", linkName).slice(1));
      else if (type === "1") archive.#links.set(clean, join("/", linkName).slice(1));
    }
    return archive;
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  /** Where the content lies in the archive's file. Throws InvalidArgument if there is no such member. */
  extent(name: string): FileExtent {
    return { fd: this.#file.fd, ...this.#require(name) };
  }

  /** A JSON member, up to 16 MiB; if `digest` is given its content must have it. Throws InvalidArgument. */
  async json(name: string, digest?: string): Promise<unknown> {
    const { offset, sizeBytes } = this.#require(name);
    if (sizeBytes > JSON_LIMIT_BYTES) throw invalid(`${name}: ${sizeBytes} bytes are too many`);
    const bytes = Buffer.alloc(sizeBytes);
    await this.#file.read(bytes, 0, sizeBytes, offset);
    const actual = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    if (digest !== undefined && digest !== actual) throw invalid(`${name}: its digest is ${actual}`);
    try {
      return JSON.parse(bytes.toString("utf8"));
    } catch {
      throw invalid(`${name}: not JSON`);
    }
  }

  #require(name: string): Extent {
    const found = this.#find(name);
    if (found === undefined) throw invalid(`${JSON.stringify(name)} is missing`);
    return found;
  }

  #find(name: string): Extent | undefined {
    let at = name;
    for (let links = 0; links < LINK_LIMIT; links++) {
      const target = this.#links.get(at);
      if (target === undefined) return this.#files.get(at);
      at = target;
    }
    return undefined;
  }
}

/** An archive that cannot be an image. */
export function invalid(message: string): ManagerError {
  return new ManagerError(Code.InvalidArgument, `image archive: ${message}`);
}
