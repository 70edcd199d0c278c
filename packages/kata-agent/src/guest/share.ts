import { spawn } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Code, StatusError } from "ttrpc-ts";
import { findPort } from "../channel/port.ts";

/** What it says on stdout when the file system is mounted and answers. Source: packages/fsbridge/c/guest.c. */
const READY = "ready\n";

/** The bridge says nothing before the host has answered. */
const MOUNT_LOOK_MS = 5;

/** Mounts a directory of the host, once. */
export class Share {
  readonly #bridge: string;
  #mounted: Promise<void> | undefined;
  #target = "";

  /** `libraryDirectory`: where trimaran-fsbridge is. */
  constructor(libraryDirectory: string) {
    this.#bridge = join(libraryDirectory, "trimaran-fsbridge");
  }

  /**
   * Resolves once the file system answers, or with `ahead` once it is mounted: in a template, whose clones find the bridge with the first message in its hand.
   * Asked again it gives the same answer; FailedPrecondition for another target.
   */
  async mount(target: string, ahead: boolean): Promise<void> {
    if (!target.startsWith("/") || target.includes("\0"))
      throw new StatusError(Code.InvalidArgument, `target ${JSON.stringify(target)}: no absolute path`);
    if (this.#mounted && target !== this.#target)
      throw new StatusError(Code.FailedPrecondition, `target: the share is mounted at ${this.#target}`);
    this.#target = target;
    this.#mounted ??= this.#run(target);
    if (!ahead) return await this.#mounted;
    this.#mounted.catch(() => undefined); // told to whoever waits for it
    while (!isMounted(target)) await delay(MOUNT_LOOK_MS);
  }

  /** Look for what is gone: the kernel then lets go of it, and the host's file server with it. Throws InvalidArgument outside of the share. */
  async forget(path: string): Promise<void> {
    if (!this.#mounted || !path.startsWith(`${this.#target}/`) || path.includes("\0"))
      throw new StatusError(Code.InvalidArgument, `path ${JSON.stringify(path)}: not below the share`);
    for (const each of [`${path}/rootfs`, path]) await stat(each).catch(() => undefined); // as it should be
  }

  #run(target: string): Promise<void> {
    mkdirSync(target, { recursive: true, mode: 0o755 });
    const bridge = spawn(this.#bridge, ["guest", findPort("fs.0"), target], { stdio: ["ignore", "pipe", "inherit"] });
    return new Promise((resolve, reject) => {
      const fail = (why: string): void => reject(new StatusError(Code.Unavailable, `share: trimaran-fsbridge ${why}`));
      let said = "";
      bridge.once("error", (error) => fail(error.message));
      bridge.once("exit", (code, signal) => fail(`ended: ${signal ?? `exit status ${code}`}`));
      bridge.stdout.on("data", (chunk: Buffer) => {
        said += chunk.toString();
        if (said.startsWith(READY)) resolve();
      });
    });
  }
}

function isMounted(target: string): boolean {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  return lines.some((line) => line.split(" ")[4] === target);
}
