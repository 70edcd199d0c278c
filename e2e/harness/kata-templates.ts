import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";

/** Templates of machines for one test file, in memory: the first machine of each kind boots, the others are its clones. Gone when it is disposed. */
export class KataTemplates implements Disposable {
  #directory: string | undefined;

  /** Have the shims of that TRIMARAN_STATE keep theirs here. */
  serve(trimaranState: string): void {
    this.#directory ??= mkdtempSync("/dev/shm/trm-kata-");
    const place = join(trimaranState, "kata-host/templates");
    if (existsSync(place)) return;
    mkdirSync(join(place, ".."), { recursive: true, mode: 0o700 });
    symlinkSync(this.#directory, place);
  }

  [Symbol.dispose](): void {
    if (this.#directory !== undefined) rmSync(this.#directory, { recursive: true, force: true });
    this.#directory = undefined;
  }
}
