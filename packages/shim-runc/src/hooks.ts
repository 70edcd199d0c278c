import { type ChildProcess, spawn } from "node:child_process";
import type { Hook } from "@trimaran/linux";

/** A hook ended badly, or could not be started. The message names it and has the beginning of what it wrote. */
export class HookError extends Error {
  override readonly name = "HookError";
}

const MAX_OUTPUT_BYTES = 4096;

/** Run hooks in the runtime's namespaces, in order, each with `state` (JSON) on its stdin. Throws HookError at the first that fails. */
export async function runHooks(hooks: readonly Hook[], state: string, cwd: string): Promise<void> {
  for (const hook of hooks) await runHook(hook, state, cwd);
}

/** The end of the process counts, not the end of its output: a hook may leave a process behind that keeps it open. */
async function runHook(hook: Hook, state: string, cwd: string): Promise<void> {
  const [argv0 = hook.path, ...args] = hook.args;
  const env = Object.fromEntries(hook.env.map((entry) => [entry.replace(/=.*/s, ""), entry.replace(/^[^=]*=?/s, "")]));
  const child = spawn(hook.path, args, { argv0, cwd, env, detached: true, stdio: ["pipe", "pipe", "pipe"] });
  const output = collect(child);
  child.stdin?.on("error", () => undefined); // it need not read
  child.stdin?.end(state);
  let late = false;
  const timer =
    hook.timeoutMs === undefined
      ? undefined
      : setTimeout(() => {
          late = true;
          killGroup(child);
        }, hook.timeoutMs);
  try {
    const why = await ended(child);
    if (late) throw new HookError(`${hook.field}: did not end within ${(hook.timeoutMs ?? 0) / 1000} s${output()}`);
    if (why !== undefined) throw new HookError(`${hook.field}: ${why}${output()}`);
  } finally {
    clearTimeout(timer);
    child.stdout?.destroy();
    child.stderr?.destroy();
  }
}

/** Undefined for success. */
function ended(child: ChildProcess): Promise<string | undefined> {
  return new Promise((resolve) => {
    child.once("error", (error: NodeJS.ErrnoException) =>
      resolve(`cannot be started (${error.code ?? error.message})`),
    );
    child.once("exit", (code, signal) => {
      if (code === 0) resolve(undefined);
      else resolve(signal === null ? `exited with status ${code}` : `was killed by ${signal}`);
    });
  });
}

function collect(child: ChildProcess): () => string {
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding("utf8");
    stream?.on("data", (part: string) => {
      text = (text + part).slice(0, MAX_OUTPUT_BYTES);
    });
  }
  return () => (text.trim() === "" ? "" : `: ${text.trim()}`);
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, "SIGKILL"); // not reaped yet: its exit has not been told
  } catch {
    // gone in this moment
  }
}
