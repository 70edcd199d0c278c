import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const SOURCE = join(import.meta.dirname, "flip.c");

/** A neighbour that exchanges pairs of names as fast as the kernel can, until it is disposed. */
export class Flipper implements AsyncDisposable {
  readonly #folder = mkdtempSync(join(tmpdir(), "flip-"));
  readonly #child: ChildProcess;

  constructor(pairs: readonly (readonly [string, string])[]) {
    const program = join(this.#folder, "flip");
    execFileSync("gcc", ["-O2", "-Wall", "-Wextra", "-Werror", "-o", program, SOURCE]);
    this.#child = spawn(program, pairs.flat(), { stdio: "inherit" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.#child.exitCode === null ? once(this.#child, "exit") : undefined;
    this.#child.kill("SIGKILL");
    await ended;
    rmSync(this.#folder, { recursive: true, force: true });
    if (this.#child.exitCode !== null) throw new Error(`flip ended by itself with ${this.#child.exitCode}`);
  }
}
