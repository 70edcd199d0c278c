import { createHash } from "node:crypto";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../errors/manager-error.ts";
import { formatRfc3339, parseRfc3339 } from "./rfc3339.ts";

/** What is known of an ingest. Times in nanoseconds since 1970; `totalBytes` is 0 if nobody said. */
export interface IngestStatus {
  readonly startedAtNs: bigint;
  readonly updatedAtNs: bigint;
  readonly offsetBytes: number;
  readonly totalBytes: number;
}

/** The name of an ingest's directory. */
export function ingestKey(backendRef: string): string {
  return createHash("sha256").update(backendRef).digest("hex");
}

/**
 * The files of one ingest: data, ref, startedat, updatedat, total. `ref` is written last and only a whole one counts, so a process
 * that dies in between leaves either an ingest or a directory that the next `prepare` starts over. Nothing is synced here: what
 * a power cut takes is noticed when the data is hashed again.
 */
export class IngestDirectory {
  readonly path: string;
  readonly dataPath: string;
  readonly #backendRef: string;

  constructor(ingests: string, backendRef: string) {
    this.path = join(ingests, ingestKey(backendRef));
    this.dataPath = this.#file("data");
    this.#backendRef = backendRef;
  }

  /** Undefined if there is no such ingest, or not yet a whole one. */
  async read(): Promise<IngestStatus | undefined> {
    if ((await readIfThere(this.#file("ref"))) !== this.#backendRef) return undefined;
    const [data, started, total] = await Promise.all([
      stat(this.dataPath, { bigint: true }).catch(unlessMissing),
      readIfThere(this.#file("startedat")),
      readIfThere(this.#file("total")),
    ]);
    if (data === undefined) return undefined;
    return {
      startedAtNs: parseRfc3339(started ?? "") ?? data.birthtimeNs,
      updatedAtNs: data.mtimeNs,
      offsetBytes: Number(data.size),
      totalBytes: parseTotal(total ?? ""),
    };
  }

  /** See to it that the ingest is there. One that was meant to become another size starts over. */
  async prepare(totalBytes: number, nowNs: bigint): Promise<IngestStatus> {
    const found = await this.read();
    const otherSize = found !== undefined && found.totalBytes > 0 && totalBytes > 0 && found.totalBytes !== totalBytes;
    if (found === undefined || otherSize) return this.#make(totalBytes, nowNs);
    if (totalBytes === 0 || totalBytes === found.totalBytes) return found;
    await this.#write("total", String(totalBytes));
    return { ...found, totalBytes };
  }

  /** For who reads the files; the truth is the data's mtime. */
  async noteUpdate(nowNs: bigint): Promise<void> {
    await this.#write("updatedat", formatRfc3339(nowNs));
  }

  /** Already gone is success. */
  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }

  async #make(totalBytes: number, nowNs: bigint): Promise<IngestStatus> {
    await this.remove();
    await mkdir(this.path, { mode: 0o755 });
    await this.#write("startedat", formatRfc3339(nowNs));
    await this.noteUpdate(nowNs);
    if (totalBytes > 0) await this.#write("total", String(totalBytes));
    await this.#write("data", "");
    await this.#write("ref", this.#backendRef);
    return { startedAtNs: nowNs, updatedAtNs: nowNs, offsetBytes: 0, totalBytes };
  }

  async #write(name: string, text: string): Promise<void> {
    await writeFile(this.#file(name), text, { mode: 0o644 });
  }

  #file(name: string): string {
    return join(this.path, name);
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  return readFile(path, "utf8").catch(unlessMissing);
}

function unlessMissing(error: unknown): undefined {
  if (errnoOf(error) !== "ENOENT") throw error;
  return undefined;
}

function parseTotal(text: string): number {
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
}
