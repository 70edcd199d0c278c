import { isAbsolute, join } from "node:path";
import { isProgram } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { fileIdentity } from "../image/file-identity.ts";
import { runProgram } from "../run-program.ts";

const INSTALL = "install it (apt-get install qemu-system-x86), or set hypervisor.qemu.path";
const ASK_LIMIT_MS = 10_000;
/** Debian 12's. What is older lacks options that we pass. */
const OLDEST = 7;

/** A QEMU that answers. */
export interface QemuBinary {
  readonly path: string;
  /** Changes when the file is replaced. */
  readonly identity: string;
  /** `7.2.22`. */
  readonly version: string;
}

/** Look `name` up in `searchPath` (colons), or take it as it is where it is absolute. Throws FailedPrecondition with the fix. */
export function findQemu(name: string, searchPath: string): string {
  const folders = isAbsolute(name) ? [""] : searchPath.split(":").filter(isAbsolute);
  const found = folders.map((folder) => join(folder, name)).find(isProgram);
  if (found !== undefined) return found;
  const where = isAbsolute(name) ? "is no program" : `is not in PATH (${searchPath})`;
  throw new StatusError(Code.FailedPrecondition, `hypervisor.qemu.path ${JSON.stringify(name)}: ${where}; ${INSTALL}`);
}

/** Ask a QEMU for its version. Throws FailedPrecondition where it is something else, or too old. */
export async function inspectQemu(path: string): Promise<QemuBinary> {
  const answer = await runProgram([path, "--version"], { timeoutMs: ASK_LIMIT_MS, hint: INSTALL });
  const version = /^QEMU emulator version (\d+\.\d+\.\d+)/m.exec(answer)?.[1];
  if (version === undefined)
    throw new StatusError(
      Code.FailedPrecondition,
      `hypervisor.qemu.path ${path}: does not answer as QEMU does; ${INSTALL}`,
    );
  if (Number.parseInt(version, 10) < OLDEST)
    throw new StatusError(
      Code.FailedPrecondition,
      `hypervisor.qemu.path ${path}: version ${version} is older than ${OLDEST}`,
    );
  return { path, identity: `${path}:${fileIdentity(path)}`, version };
}
