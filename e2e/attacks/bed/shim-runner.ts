import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Shim } from "@trimaran/shim-check";
import { StatusError } from "ttrpc-ts";
import { type Finished, runOk } from "../../harness/process.ts";
import { ShimYard, trimaranShim } from "../../harness/shims.ts";
import type { AttackBed } from "./bed.ts";
import type { Config } from "./config.ts";

/** Our shim, whose task server stays: a container takes a tenth of a command's time, so that there can be thousands. */
export class ShimRunner implements AsyncDisposable {
  readonly #yard: ShimYard;
  #runs = 0;

  private constructor(yard: ShimYard) {
    this.#yard = yard;
  }

  static async open(): Promise<ShimRunner> {
    const path = "/usr/sbin:/usr/bin:/sbin:/bin";
    const kind = { name: "trimaran", binary: trimaranShim(), style: "2.1", isControl: false, path } as const;
    return new ShimRunner(await ShimYard.open(kind));
  }

  /** Run a container in a bed's bundle to its end, and remove it. A refusal is an exit status of 1 with the reason on stderr. */
  async run(bed: AttackBed, config: Config): Promise<Finished> {
    const { containerd, tag, kind, trimaranState } = this.#yard;
    const id = `${tag}-${this.#runs++}`;
    const output = join(bed.folder, "output");
    rmSync(output, { force: true });
    if (this.#runs === 1) await runOk(["mkfifo", join(bed.bundle, "log")]);
    const placed = { ...config, linux: { ...config.linux, cgroupsPath: `/${tag}/${id}` } };
    writeFileSync(join(bed.bundle, "config.json"), JSON.stringify(placed));
    const env = { PATH: kind.path, TRIMARAN_STATE: trimaranState, TRIMARAN_E2E: tag };
    const place = { containerd, namespace: tag, id, bundle: bed.bundle, env };
    await using shim = await Shim.start({ binary: kind.binary, style: kind.style, ...place });
    try {
      await shim.task.create({ id, bundle: bed.bundle, rootfs: [], stdout: `file://${output}` });
      await shim.task.start({ id });
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      return { code: 1, stdout: "", stderr: error.message };
    }
    const { exitStatus } = await shim.task.wait({ id });
    await shim.remove();
    return { code: exitStatus, stdout: readFileSync(output, "utf8"), stderr: "" };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#yard[Symbol.asyncDispose]();
  }
}
