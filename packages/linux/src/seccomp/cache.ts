import { createHash, randomUUID } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { isFilterProgram } from "./filter.ts";

const MAGIC = Buffer.from("trimaran-bpf-1\n\0");
const HASH_BYTES = 32;

/**
 * Compiled filters on disk by key (64 hex digits), a file each: magic, SHA-256, program. A file that is not whole, not ours or
 * writable by others is ignored and written again: the cache can be lost, never wrong. Without a folder it is always empty.
 */
export class ProgramCache {
  readonly #folder: string | undefined;

  constructor(folder: string | undefined) {
    this.#folder = folder;
  }

  /** Keep a program, and return it. A folder that cannot be written only costs time. */
  put(key: string, program: Uint8Array): Uint8Array {
    if (this.#folder === undefined) return program;
    const path = `${this.#folder}/${key}.bpf`;
    const temporary = `${path}.${randomUUID()}`;
    try {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      const bytes = Buffer.concat([MAGIC, createHash("sha256").update(program).digest(), program]);
      writeFileSync(temporary, bytes, { mode: 0o600, flag: "wx" });
      renameSync(temporary, path);
    } catch {
      rmSync(temporary, { force: true });
    }
    return program;
  }

  /** The program, or undefined if it must be compiled. */
  get(key: string): Uint8Array | undefined {
    if (this.#folder === undefined) return undefined;
    let fd: number;
    try {
      fd = openSync(`${this.#folder}/${key}.bpf`, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch {
      return undefined;
    }
    try {
      const { mode, uid, size } = fstatSync(fd);
      const isOurs =
        (mode & constants.S_IFMT) === constants.S_IFREG && (mode & 0o022) === 0 && uid === process.geteuid?.();
      return isOurs && size <= 64 * 1024 ? parseCacheFile(readFileSync(fd)) : undefined;
    } finally {
      closeSync(fd);
    }
  }
}

/** The program in a cache file, or undefined if anything about it is wrong. */
export function parseCacheFile(bytes: Buffer): Uint8Array | undefined {
  const start = MAGIC.length + HASH_BYTES;
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  const program = bytes.subarray(start);
  const hash = createHash("sha256").update(program).digest();
  return isFilterProgram(program) && hash.equals(bytes.subarray(MAGIC.length, start)) ? program : undefined;
}
