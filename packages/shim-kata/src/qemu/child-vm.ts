import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import type { StartVm } from "./vm.ts";

/** The limit is in blocks of 512 bytes; with the signal ignored a write beyond it fails. setpriv: who dies takes QEMU along. */
const LIMITED = 'trap "" XFSZ; ulimit -f "$1"; shift; exec setpriv --pdeathsig KILL "$@"';

/** Start QEMU as a child of this process. It dies with us: a test that is killed leaves nothing. */
export const startVm: StartVm = async ({ argv, directory, fileLimitBytes }) => {
  mkdirSync(directory, { recursive: true });
  const command = ["-c", LIMITED, "sh", String(Math.ceil(fileLimitBytes / 512)), ...argv];
  const child = spawn("sh", command, { cwd: directory, stdio: ["ignore", "ignore", "pipe"] });
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-2000);
  });
  const { promise, resolve } = Promise.withResolvers<string>();
  child.on("error", (error) => resolve(error.message));
  child.on("close", (code, signal) => {
    const words = stderr.split("\n").filter((line) => line !== "" && !line.includes("warning:"));
    resolve(
      `${signal === null ? `exit status ${code}` : `killed by ${signal}`}${words.length ? `: ${words.at(-1)}` : ""}`,
    );
  });
  return { pid: child.pid ?? 0, exited: promise, kill: () => void child.kill("SIGKILL") };
};
