import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BUILD_BIN } from "../../harness/containerd.ts";
import { type Finished, run } from "../../harness/process.ts";
import type { Config } from "./config.ts";
import { naiveScript } from "./naive.ts";

const APPLETS = "sh cat id ls sleep true stat test head mkdir echo readlink grep chmod dd mount ln rm touch cut".split(
  " ",
);
const SECRET = "the host's secret\n";
const NAMESPACES = ["--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--kill-child"];

/** Whose container it is. */
export type RuntimeName = "trimaran-oci" | "naive";

/** A host to attack: a bundle with a busybox image, a volume that the attacker owns, and a folder outside of both that must stay as it is. */
export class AttackBed implements AsyncDisposable {
  readonly folder = mkdtempSync(join(tmpdir(), "attack-"));
  readonly bundle = join(this.folder, "bundle");
  readonly rootfs = join(this.bundle, "rootfs");
  readonly volume = join(this.folder, "volume");
  readonly canary = join(this.folder, "canary");
  /** Of the container that `run` makes. */
  readonly id = `attack-${randomBytes(4).toString("hex")}`;
  readonly #before: string;

  constructor() {
    for (const name of ["bin", "etc", "tmp", "proc", "dev", "mnt", "sys"])
      mkdirSync(join(this.rootfs, name), { recursive: true });
    copyFileSync("/bin/busybox", join(this.rootfs, "bin/busybox"));
    for (const name of APPLETS) symlinkSync("busybox", join(this.rootfs, "bin", name));
    writeFileSync(join(this.rootfs, "etc/passwd"), "root:x:0:0::/:/bin/sh\n");
    mkdirSync(join(this.canary, "sub"), { recursive: true });
    mkdirSync(this.volume);
    writeFileSync(join(this.canary, "secret"), SECRET);
    writeFileSync(join(this.canary, "sub/secret"), SECRET);
    writeFileSync(join(this.canary, "ptmx"), SECRET);
    chmodSync(this.folder, 0o755);
    this.#before = this.#look();
  }

  /** A path in the image. */
  path(...parts: readonly string[]): string {
    return join(this.rootfs, ...parts);
  }

  /** Put a symlink into the image, in place of what is there. */
  link(target: string, path: string): void {
    rmSync(this.path(path), { recursive: true, force: true });
    symlinkSync(target, this.path(path));
  }

  /** Run a container to its end with either runtime. */
  run(runtime: RuntimeName, config: Config, timeoutMs = 20_000): Promise<Finished> {
    writeFileSync(join(this.bundle, "config.json"), JSON.stringify(config));
    return runtime === "naive"
      ? run(["unshare", ...NAMESPACES, "sh", "-c", naiveScript(config, this.rootfs)], { timeoutMs, env: process.env })
      : this.oci(["run", this.id], timeoutMs);
  }

  /** A command of trimaran-oci, in the bundle. */
  oci(words: readonly string[], timeoutMs = 20_000, env: NodeJS.ProcessEnv = process.env): Promise<Finished> {
    const program = join(BUILD_BIN, "trimaran-oci");
    return run([program, "--root", join(this.folder, "root"), ...words], { cwd: this.bundle, timeoutMs, env });
  }

  /** A container that runs until it is disposed; its output is thrown away. */
  async start(config: Config): Promise<AsyncDisposable & { readonly pid: number }> {
    writeFileSync(join(this.bundle, "config.json"), JSON.stringify(config));
    const program = join(BUILD_BIN, "trimaran-oci");
    const words = [
      "--root",
      join(this.folder, "root"),
      "run",
      "--detach",
      "--pid-file",
      join(this.folder, "pid"),
      this.id,
    ];
    const errors = join(this.folder, "errors"); // not a pipe of ours: the container inherits it
    const quiet = ["sh", "-c", `exec "$0" "$@" >/dev/null 2>${errors}`, program, ...words];
    const { code } = await run(quiet, { cwd: this.bundle, env: process.env });
    if (code !== 0) throw new Error(`run --detach: ${readFileSync(errors, "utf8")}`);
    const pid = Number(readFileSync(join(this.folder, "pid"), "utf8"));
    return { pid, [Symbol.asyncDispose]: async () => void (await this.oci(["delete", "--force", this.id])) };
  }

  /** A file of the image as it is now; undefined if it is not there. */
  image(path: string): string | undefined {
    return existsSync(this.path(path)) ? readFileSync(this.path(path), "utf8") : undefined;
  }

  /** A program of the image's, from a C source; setuid with mode 0o4755. */
  program(name: string, source: string, mode = 0o755): void {
    const path = this.path("bin", name);
    execFileSync("gcc", ["-static", "-D_GNU_SOURCE", "-x", "c", "-o", path, "-"], { input: source });
    chmodSync(path, mode);
  }

  /** What is not as it was: outside of the bundle and the volume. Empty if the attack has not got out. */
  damage(): string {
    const now = this.#look();
    return now === this.#before ? "" : `before:\n${this.#before}\nnow:\n${now}`;
  }

  #look(): string {
    const names = readdirSync(this.canary, { recursive: true, encoding: "utf8" }).sort();
    const lines = [".", ...names].map((name) => {
      const path = join(this.canary, name);
      const { mode, uid, gid, nlink } = lstatSync(path);
      const content = (mode & 0o170000) === 0o100000 ? readFileSync(path, "utf8") : "";
      return `${name} ${mode.toString(8)} ${uid}:${gid} ${nlink} ${JSON.stringify(content)}`;
    });
    const mounts = readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(this.folder));
    return [...lines, ...mounts, readFileSync("/proc/sys/kernel/core_pattern", "utf8")].join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (existsSync(join(this.folder, "root", this.id))) await this.oci(["delete", "--force", this.id]);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
