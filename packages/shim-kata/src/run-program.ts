import { execFile } from "node:child_process";
import { Code, StatusError } from "ttrpc-ts";

/** How to run a program that ends by itself. */
export interface ProgramOptions {
  readonly cwd?: string;
  /** Given to the program whole. Default: PATH and HOME of Debian's root. */
  readonly env?: NodeJS.ProcessEnv;
  /** Milliseconds until SIGKILL. Default: 5 minutes, a slow mirror's. */
  readonly timeoutMs?: number;
  /** What to do where the program is missing. */
  readonly hint?: string;
}

const PLAIN_ENVIRONMENT = { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", LC_ALL: "C.UTF-8" };
const LIMIT_MS = 300_000;
const OUTPUT_LIMIT_BYTES = 64 * 1024 * 1024;

/** Run a program to its end; the result is its stdout. Throws FailedPrecondition with the program's last words. */
export async function runProgram(argv: readonly string[], options: ProgramOptions = {}): Promise<string> {
  const [file = "", ...args] = argv;
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const settings = {
    cwd: options.cwd ?? "/",
    env: options.env ?? PLAIN_ENVIRONMENT,
    timeout: options.timeoutMs ?? LIMIT_MS,
    killSignal: "SIGKILL" as const,
    maxBuffer: OUTPUT_LIMIT_BYTES,
  };
  execFile(file, args, settings, (error, stdout, stderr) => {
    if (error === null) return resolve(stdout);
    const hint = options.hint === undefined ? "" : `; ${options.hint}`;
    const why = error.code === "ENOENT" ? "is missing" : lastLines(stderr) || error.message;
    reject(new StatusError(Code.FailedPrecondition, `${file}: ${why}${hint}`, { cause: error }));
  });
  return await promise;
}

function lastLines(text: string): string {
  return text.trim().split("\n").slice(-3).join(" / ");
}
