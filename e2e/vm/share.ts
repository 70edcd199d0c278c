import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, watch } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { stopChild } from "./stop-child.ts";

const VIRTIOFSD = "/usr/lib/qemu/virtiofsd";
const READY_MS = 10_000;

/** This machine's files for one guest: a virtiofsd on a read-only view, in a mount namespace of its own. */
export class HostShare implements AsyncDisposable {
  /** Where QEMU connects. The daemon ends with that connection. */
  readonly socketPath: string;
  readonly #daemon: ChildProcess;

  private constructor(socketPath: string, daemon: ChildProcess) {
    this.socketPath = socketPath;
    this.#daemon = daemon;
  }

  /**
   * Share `/` and, if they are mounts of their own, the file systems of `also`. `folder` is the caller's, and empty of `share.sock` and `share`.
   * Nobody can write through it: the view itself is read-only, whatever the guest asks for. Throws with the daemon's words.
   */
  static async open(folder: string, also: readonly string[]): Promise<HostShare> {
    const view = join(folder, "share");
    const socketPath = join(folder, "share.sock");
    await mkdir(view);
    const script = [
      "set -e",
      "mount --bind / share",
      ...also.map((path) => `mount --bind '${path}' 'share${path}'`),
      'for at in $(tac /proc/self/mounts | cut -d\' \' -f2); do case $at in "$PWD"/share*) mount -o remount,bind,ro "$at";; esac; done',
      "mount -t tmpfs run /run", // it locks and leaves a file in there, named after its socket
      `exec ${VIRTIOFSD} -f --socket-path=share.sock -o source="$PWD/share" -o cache=always -o sandbox=namespace`,
    ].join("\n");
    const argv = ["--pdeathsig", "KILL", "unshare", "-m", "--propagation", "private", "sh", "-c", script];
    const daemon = spawn("setpriv", argv, { cwd: folder, stdio: ["ignore", "pipe", "pipe"], detached: true });
    let said = "";
    for (const stream of [daemon.stdout, daemon.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        said += text;
      });
    await using undo = new AsyncDisposableStack();
    const share = undo.use(new HostShare(socketPath, daemon));
    if (!(await appears(socketPath, daemon))) throw new Error(`virtiofsd did not come up\n${said}`);
    undo.move();
    return share;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stopChild(this.#daemon);
  }
}

/** Whether the file is there before the child ends. */
async function appears(path: string, child: ChildProcess): Promise<boolean> {
  using undo = new DisposableStack();
  const done = new AbortController();
  undo.defer(() => done.abort());
  const watcher = undo.adopt(watch(dirname(path)), (each) => each.close());
  const signal = AbortSignal.any([done.signal, AbortSignal.timeout(READY_MS)]);
  const ended = once(child, "exit", { signal }).catch(() => undefined);
  while (!existsSync(path)) {
    if (child.exitCode !== null || child.signalCode !== null || signal.aborted) return false;
    await Promise.race([once(watcher, "change", { signal }).catch(() => undefined), ended]);
  }
  return true;
}
