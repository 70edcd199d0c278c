import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { BUILD_BIN } from "./containerd.ts";

const SHIM = "containerd-shim-trimaran-runc-v2";
const LIBRARY = join(BUILD_BIN, "../lib/trimaran");

/** shim-runc as it was built, in a folder of its own, where a newer version of it can be put in its place. */
export class OwnBuild implements Disposable {
  readonly #dir = mkdtempSync("/tmp/trm-build-");
  /** For an engine's PATH. */
  readonly bin = join(this.#dir, "bin");
  readonly #library = join(this.#dir, "lib/trimaran");

  constructor() {
    for (const folder of [this.bin, this.#library]) mkdirSync(folder, { recursive: true });
    copyFileSync(join(BUILD_BIN, SHIM), join(this.bin, SHIM)); // it looks for its library from where it really is
    cpSync(join(LIBRARY, "package.json"), join(this.#library, "package.json"));
    symlinkSync(join(LIBRARY, "node_modules"), join(this.#library, "node_modules"));
    const command = readFileSync(join(LIBRARY, `${SHIM}.cmd`), "utf8");
    writeFileSync(join(this.#library, `${SHIM}.cmd`), command.replaceAll(`${LIBRARY}/`, `${this.#library}/`));
    this.install("0.1.0");
  }

  /** Put the task server there under another version. Throws if the build does not name one. */
  install(version: string): void {
    const script = readFileSync(join(LIBRARY, `${SHIM}.cjs`), "utf8");
    if (!script.includes('version="0.1.0"')) throw new Error(`${SHIM}.cjs: no version 0.1.0 in it`);
    writeFileSync(join(this.#library, `${SHIM}.cjs`), script.replace('version="0.1.0"', `version="${version}"`));
  }

  [Symbol.dispose](): void {
    rmSync(this.#dir, { recursive: true, force: true });
  }
}
