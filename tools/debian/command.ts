import { spawn } from "node:child_process";

/** How to run a set-up command. */
export interface CommandOptions {
  readonly env?: NodeJS.ProcessEnv;
  readonly cwd?: string;
  /** Take an exit status other than 0 as an answer, too. Default: false. */
  readonly mayFail?: boolean;
}

/** Run a program to its end and return its stdout. Throws with the program's whole output if it fails. */
export async function command(argv: readonly string[], options: CommandOptions = {}): Promise<string> {
  const [file = "", ...args] = argv;
  const child = spawn(file, args, { env: options.env, cwd: options.cwd, stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let all = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    all += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    all += text;
  });
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.on("error", reject).on("close", resolve);
  const code = await promise;
  if (code !== 0 && options.mayFail !== true) throw new Error(`${argv.join(" ")}: exit status ${code}\n${all.trim()}`);
  return stdout;
}
