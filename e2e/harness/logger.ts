import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** A `binary://` logger: a program that writes a container's streams into files. */
export class Logger {
  /** For stdout and stderr of Create. */
  readonly uri: string;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.uri = `binary://${folder}/logger`;
  }

  /** Write the program into a new folder. It is ready at once, and reads before the container has a writer. */
  static async make(folder: string): Promise<Logger> {
    await mkdir(folder);
    const copy = (fd: number, kind: string) =>
      `cat <&${fd} > ${folder}/$CONTAINER_ID.${kind}; : > ${folder}/$CONTAINER_ID.${kind}-end`;
    const script = `#!/bin/sh\nexec 5>&-\n(${copy(3, "out")}) &\n(${copy(4, "err")}) &\nwait\n`;
    await writeFile(join(folder, "logger"), script, { mode: 0o755 });
    return new Logger(folder);
  }

  /** stdout and stderr of a container, once their ends were read. */
  async logged(id: string): Promise<readonly [stdout: string, stderr: string]> {
    return await Promise.all([this.#whole(`${id}.out`), this.#whole(`${id}.err`)]);
  }

  async #whole(name: string): Promise<string> {
    while ((await readFile(join(this.#folder, `${name}-end`)).catch(() => undefined)) === undefined) await delay(10);
    return await readFile(join(this.#folder, name), "utf8");
  }
}
