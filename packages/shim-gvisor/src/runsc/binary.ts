import { execFile } from "node:child_process";
import { statSync } from "node:fs";
import { join } from "node:path";
import { isProgram } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";

/** How long a question that only prints something may take. */
const ASK_LIMIT_MS = 5000;
const INSTALL = "install it (apt-get install runsc), or set binary_name";

/** A runsc that answers. */
export interface RunscBinary {
  readonly path: string;
  /** Changes when the file is replaced. */
  readonly identity: string;
  /** As `runsc --version` says it: `release-20240729.0`, or `0.0~20221219.0` for Debian's. */
  readonly version: string;
  /** Names of its flags, and runsc's default where it states one. */
  readonly flags: ReadonlyMap<string, string>;
}

/**
 * Look `name` up in `searchPath` (colons), or take it as it is where it is absolute. Throws FailedPrecondition with the fix.
 */
export function findBinary(name: string, searchPath: string): string {
  if (name.includes("/") && !name.startsWith("/"))
    throw new StatusError(
      Code.InvalidArgument,
      `binary_name ${JSON.stringify(name)}: neither a name nor an absolute path`,
    );
  const candidates = name.startsWith("/") ? [name] : searchPath.split(":").map((folder) => join(folder || "/", name));
  const found = candidates.find(isProgram);
  if (found !== undefined) return found;
  const where = name.startsWith("/") ? "is no program" : `is not in PATH (${searchPath})`;
  throw new StatusError(Code.FailedPrecondition, `binary_name ${JSON.stringify(name)}: ${where}; ${INSTALL}`);
}

/** Ask a runsc for its version and its flags. Throws FailedPrecondition where it is something else. */
export async function inspectBinary(path: string): Promise<RunscBinary> {
  const [version, flags] = await Promise.all([ask(path, "--version"), ask(path, "flags")]);
  const number = /^runsc version (\S+)/m.exec(version)?.[1];
  const known = parseFlags(flags);
  if (number === undefined || !known.has("log-format") || !known.has("platform"))
    throw new StatusError(Code.FailedPrecondition, `binary_name ${path}: does not answer as runsc does; ${INSTALL}`);
  return { path, identity: identityOf(path), version: number, flags: known };
}

/** Inode, size and time: another file, another identity. */
export function identityOf(path: string): string {
  const { dev, ino, size, mtimeMs } = statSync(path);
  return `${path}:${dev}:${ino}:${size}:${mtimeMs}`;
}

/** `runsc flags` prints each as `  -name type`, then a line of help that may end in `(default X)`. */
export function parseFlags(text: string): ReadonlyMap<string, string> {
  const flags = new Map<string, string>();
  let name = "";
  for (const line of text.split("\n")) {
    const flag = /^ {2}-([^\s]+)/.exec(line)?.[1];
    name = flag ?? name;
    const byDefault = /\(default "?([^")]*)"?\)\s*$/.exec(line)?.[1] ?? "";
    if (name !== "" && (flag !== undefined || byDefault !== "")) flags.set(name, byDefault);
  }
  return flags;
}

async function ask(path: string, question: string): Promise<string> {
  return await new Promise((resolve) => {
    execFile(path, [question], { timeout: ASK_LIMIT_MS, killSignal: "SIGKILL", env: {} }, (_error, stdout, stderr) =>
      resolve(`${stdout}\n${stderr}`),
    );
  });
}
