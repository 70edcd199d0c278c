import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { PATIENCE } from "./patience.ts";

/** What a program said. `code` is its exit status, 128+n for a signal. */
export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How to run a program. */
export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Bytes for stdin, then end of file. Default: none, end of file at once. */
  readonly stdin?: string | Uint8Array;
  /** Each step waits until stdout has matched `expect` since the last step, then sends `send`. stdin stays open to the end. */
  readonly dialogue?: readonly DialogueStep[];
  /** The program is killed and the call throws after that long, times E2E_PATIENCE. Default: 30 000. */
  readonly timeoutMs?: number;
}

/** One step of a conversation. Without `send` stdin ends. */
export interface DialogueStep {
  readonly expect: RegExp;
  readonly send?: string;
}

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

/** Run a program to its end. Throws only if it does not start or does not end in time, with all that it said by then. */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const [file = "", ...args] = argv;
  const timeoutMs = (options.timeoutMs ?? 30_000) * PATIENCE;
  const child = spawn(file, args, { env: options.env, cwd: options.cwd, stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.on("error", () => undefined); // a program that does not read
  if (options.dialogue === undefined) child.stdin.end(options.stdin ?? "");
  else converse(child, options.dialogue);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
    child.stdout.destroy();
    child.stderr.destroy();
  }, timeoutMs);
  try {
    const ended = new Promise<number>((resolve, reject) => {
      child.on("error", reject);
      child.on("exit", (code, signal) => resolve(code ?? 128 + (SIGNALS[signal ?? ""] ?? 0)));
    });
    const [code, stdout, stderr] = await Promise.all([ended, partial(child.stdout), partial(child.stderr)]);
    if (late) throw new Error(`${argv.join(" ")}: no end after ${timeoutMs} ms\n${stdout}${stderr}`);
    return { code, stdout, stderr };
  } finally {
    clearTimeout(timer);
  }
}

/** Run a program and return its stdout. Throws with all it said if the exit status is not 0. */
export async function runOk(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const done = await run(argv, options);
  if (done.code !== 0) throw new Error(`${argv.join(" ")}: exit status ${done.code}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

function converse(child: ChildProcessWithoutNullStreams, steps: readonly DialogueStep[]): void {
  const left = [...steps];
  let heard = "";
  child.stdout.on("data", (chunk: Buffer) => {
    heard += chunk.toString("latin1");
    const step = left[0];
    if (step === undefined || !step.expect.test(heard)) return;
    left.shift();
    heard = "";
    if (step.send === undefined) child.stdin.end();
    else child.stdin.write(step.send);
  });
}

/** All of a stream, also if it is torn off. */
async function partial(stream: NodeJS.ReadableStream): Promise<string> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  } catch {
    // destroyed by the time limit: what came before it counts
  }
  return Buffer.concat(chunks).toString();
}

/** One word for a shell. */
export function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
