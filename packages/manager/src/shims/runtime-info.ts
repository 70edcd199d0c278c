import { execFile } from "node:child_process";
import { Code, ManagerError } from "../errors/manager-error.ts";

const INFO_TIMEOUT_MS = 10_000;

/** What `BINARY -info` prints for options on its stdin: a RuntimeInfo. Throws Unavailable with the shim's words if it fails. */
export function readRuntimeInfo(
  binary: string,
  options: Uint8Array,
  environment: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
  const limits = {
    encoding: "buffer",
    env: environment,
    timeout: INFO_TIMEOUT_MS,
    killSignal: "SIGKILL",
    signal,
  } as const;
  const child = execFile(binary, ["-info"], limits, (error, stdout, stderr) => {
    if (error === null) return resolve(stdout);
    const said = stderr.toString("utf8").trim() || error.message;
    reject(new ManagerError(Code.Unavailable, `shim ${binary} -info: ${said}`, { cause: error }));
  });
  child.stdin?.on("error", () => {}).end(options); // a shim need not read it
  return promise;
}
