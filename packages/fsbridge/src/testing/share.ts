/** A directory shared through the whole bridge: virtiofsd, both halves, and a mount, all on this host. */
import { execFile, execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { type Build, OUT, type Running, socketPair, startDaemon, startHalf } from "./halves.ts";

const LIMIT_MS = 60_000;

/** Open with `await using`: what it started and mounted goes with it. Must run in a private mount namespace. */
export class Share implements AsyncDisposable {
  readonly folder: string;
  /** The directory as the host sees it. */
  readonly shared: string;
  /** Where the guest half has mounted it. */
  readonly mounted: string;
  readonly daemon: Running;
  readonly host: Running;
  readonly guest: Running;

  private constructor(folder: string, daemon: Running, host: Running, guest: Running) {
    this.folder = folder;
    this.shared = join(folder, "shared");
    this.mounted = join(folder, "mounted");
    this.daemon = daemon;
    this.host = host;
    this.guest = guest;
  }

  static async open(build: Build = "trimaran-fsbridge"): Promise<Share> {
    const folder = mkdtempSync(join(tmpdir(), "fsbridge-"));
    const shared = join(folder, "shared");
    for (const path of [shared, join(folder, "mounted")]) mkdirSync(path);
    // the shape of a pod's namespace: what is mounted below later reaches virtiofsd's own
    execFileSync("mount", ["--bind", shared, shared]);
    execFileSync("mount", ["--make-shared", shared]);
    const socket = join(folder, "daemon.sock");
    const daemon = await startDaemon(shared, socket);
    const [near, far] = await socketPair();
    const host = startHalf(build, ["host", "fd:3", `connect:${socket}`], [near]);
    const guest = startHalf(build, ["guest", "fd:3", join(folder, "mounted")], [far]);
    near.destroy();
    far.destroy();
    await guest.says("ready");
    return new Share(folder, daemon, host, guest);
  }

  /** Run a shell script with `$S` the shared and `$M` the mounted directory, and `$PROBE`; its stdout. Rejects with what it said on failure. */
  async sh(script: string, limitMs = LIMIT_MS): Promise<string> {
    const env = { ...process.env, S: this.shared, M: this.mounted, PROBE: join(OUT, "probe") };
    const command = promisify(execFile)("sh", ["-euc", script], { env, timeout: limitMs, killSignal: "SIGKILL" });
    try {
      return (await command).stdout;
    } catch (error) {
      const ended = [this.daemon, this.host, this.guest].map(({ stderr }) => stderr).join("");
      throw new Error(`${error instanceof Error ? error.message : error}\n${ended}`, { cause: error });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of [this.guest, this.host, this.daemon]) await process[Symbol.asyncDispose]();
    const below = execFileSync("findmnt", ["-rno", "TARGET"], { encoding: "utf8" }).split("\n");
    for (const path of below.filter((path) => path.startsWith(`${this.folder}/`)).reverse())
      execFileSync("umount", ["-l", path]);
    rmSync(this.folder, { recursive: true });
  }
}
