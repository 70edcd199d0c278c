import { closeSync, openSync, readSync } from "node:fs";
import { commandLine, type Invoke } from "@trimaran/shim-check";
import { loadSyscalls } from "../../packages/manager/src/host/syscalls.ts";

const OUTPUT_LIMIT_BYTES = 65536;
const syscalls = loadSyscalls();

/**
 * Exec a shim's binary as cheaply as containerd does: Go and posix_spawn share the caller's memory up to execve, where Node's own spawn
 * copies its page tables, which costs milliseconds that are no shim's. Resolves when the process has ended.
 */
export const quickInvoke: Invoke = async (shim, action, flags) => {
  const { args, environment, input } = commandLine(shim, action, flags);
  using files = new DisposableStack();
  const opened = (fd: number) => files.adopt(fd, closeSync);
  const stdin = opened(input.length > 0 ? syscalls.memoryFile("stdin", input) : openSync("/dev/null", "r"));
  const [stdout, stderr] = [opened(syscalls.memoryFile("stdout")), opened(syscalls.memoryFile("stderr"))];
  const child = syscalls.spawn({
    path: shim.binary,
    args,
    cwd: shim.bundle,
    environment,
    stdio: [stdin, stdout, stderr],
  });
  const { code = null } = await child.ended;
  return { code, stdout: readAll(stdout), stderr: readAll(stderr), pipesHeldMs: 0 };
};

/** The program has moved the offset, so from the beginning. */
function readAll(fd: number): Buffer {
  const bytes = Buffer.alloc(OUTPUT_LIMIT_BYTES);
  return bytes.subarray(0, readSync(fd, bytes, 0, bytes.length, 0));
}
