import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";

const SOCKET = "/run/containerd/containerd.sock";

/** Debian's containerd as a service would start it, at its usual places: for a throw-away root only. */
export async function startContainerd(): Promise<AsyncDisposable> {
  const child = spawn("containerd", ["--log-level", "error"], { stdio: ["ignore", "ignore", "inherit"] });
  for (let left = 200; !existsSync(SOCKET); left--) {
    if (left === 0 || child.exitCode !== null) throw new Error("containerd does not come up");
    await delay(50);
  }
  return {
    [Symbol.asyncDispose]: async () => {
      child.kill();
      await once(child, "exit");
    },
  };
}
