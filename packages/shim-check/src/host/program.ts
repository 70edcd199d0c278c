import { execFile } from "node:child_process";
import { promisify } from "node:util";

const runFile = promisify(execFile);

/** Run a program and return its stdout. Throws with its stderr if its exit status is not 0. */
export async function runProgram(file: string, ...args: readonly string[]): Promise<string> {
  return (await runFile(file, args)).stdout;
}

/** Make a FIFO, mode 0700 as containerd's. */
export async function makeFifo(path: string): Promise<void> {
  await runProgram("mkfifo", "-m", "700", path);
}
