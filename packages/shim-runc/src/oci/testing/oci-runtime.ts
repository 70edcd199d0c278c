import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { firstSpec } from "../commands/spec.ts";

/** Ours as it is installed: from its source it starts slowly. */
export const OURS = [join(import.meta.dirname, "../../../../../build/bin/trimaran-oci")];
/** Debian's: the control. */
export const RUNC = ["runc"];
const APPLETS = [
  "sh",
  "cat",
  "dd",
  "id",
  "ls",
  "sleep",
  "true",
  "stat",
  "test",
  "touch",
  "tty",
  "stty",
  "head",
  "mkdir",
];
/** A guest under emulation has been seen to need seconds for a command. */
const LIMIT_MS = 20_000 * Number(process.env.E2E_PATIENCE ?? "1");

/** A folder with one bundle, whose rootfs is busybox. It goes with its owner. */
export class Place implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "oci-"));
  readonly bundle = join(this.folder, "bundle");

  constructor() {
    chmodSync(this.folder, 0o711);
    const bin = join(this.bundle, "rootfs/bin");
    mkdirSync(bin, { recursive: true });
    mkdirSync(join(this.bundle, "rootfs/tmp"));
    copyFileSync("/bin/busybox", join(bin, "busybox"));
    for (const name of APPLETS) symlinkSync("busybox", join(bin, name));
  }

  /** Write config.json: `trimaran oci spec`'s with this script, without a terminal, and what `change` does to it. */
  configure(script: string, change: (spec: ReturnType<typeof firstSpec>) => unknown = () => undefined): void {
    const spec = firstSpec();
    spec.process.terminal = false;
    spec.process.args = ["sh", "-c", script];
    spec.root.readonly = false;
    change(spec);
    writeFileSync(join(this.bundle, "config.json"), JSON.stringify(spec));
  }

  /** Give everything to somebody else. */
  give(uid: number): void {
    execFileSync("chown", ["-R", `${uid}:${uid}`, this.folder]);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** How a command line ended, and what it said. */
export interface Said {
  readonly code: number;
  readonly out: string;
  readonly error: string;
}

/** One of the two runtimes, with a root directory of its own; it runs in the bundle. */
export class Runtime {
  readonly argv: readonly string[];
  readonly root: string;
  readonly bundle: string;

  readonly #as: { readonly uid?: number; readonly gid?: number };

  /** `uid`: somebody without privileges, of a group of the same number. Default: whoever we are. */
  constructor(place: Place, program: readonly string[], name: string, uid?: number) {
    this.bundle = place.bundle;
    this.root = join(place.folder, `root-${name}`);
    this.argv = [...program, "--root", this.root];
    this.#as = uid === undefined ? {} : { uid, gid: uid };
  }

  run(...words: string[]): Said {
    return this.feed("", ...words);
  }

  feed(input: string, ...words: string[]): Said {
    const [file = "", ...args] = this.argv;
    const { status, stdout, stderr } = spawnSync(file, [...args, ...words], {
      input,
      encoding: "utf8",
      timeout: LIMIT_MS,
      cwd: this.bundle,
      ...this.#as,
    });
    return { code: status ?? -1, out: stdout, error: stderr };
  }

  /** `run --detach` and `create` hand their streams to the container: a file, or nobody would see the end. */
  quiet(...words: string[]): number {
    const [file = "", ...args] = this.argv;
    const options = { stdio: "ignore", timeout: LIMIT_MS, cwd: this.bundle, ...this.#as } as const;
    return spawnSync(file, [...args, ...words], options).status ?? -1;
  }

  status(id: string): string {
    const { code, out } = this.run("state", id);
    return code === 0 ? (JSON.parse(out) as { status: string }).status : "none";
  }

  async until(id: string, status: string): Promise<void> {
    for (let tries = 0; this.status(id) !== status; tries++) {
      assert.ok(tries < 50, `${id} does not become ${status}`);
      await delay(20);
    }
  }
}
