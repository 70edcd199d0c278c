import { execFile } from "node:child_process";
import { basename } from "node:path";
import { promisify } from "node:util";

/** Which shim a binary says it is. */
export interface Identity {
  /** From `-v`; the file's name if it says none. */
  readonly name: string;
  /** "" if it says none. */
  readonly version: string;
}

/** Ask a binary with `-v`, whose answer is `NAME:`, then lines as `Version: …`. One that does not answer is named after its file. */
export async function identify(binary: string): Promise<Identity> {
  const asked = promisify(execFile)(binary, ["-v"], { cwd: "/", timeout: 10_000 });
  const text = await asked.then(
    ({ stdout }) => stdout,
    () => "",
  );
  const name = /^(\S+):\s*$/m.exec(text)?.[1];
  const version = /^\s*Version:\s*(\S+)/m.exec(text)?.[1];
  return { name: basename(name ?? binary), version: version ?? "" };
}
