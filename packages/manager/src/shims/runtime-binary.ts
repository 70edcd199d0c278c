import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { Code, ManagerError } from "../errors/manager-error.ts";

/** `a.b.NAME.VERSION` to `containerd-shim-NAME-VERSION`: only the last two parts count. Throws InvalidArgument. */
export function shimBinaryName(runtime: string): string {
  const parts = runtime.split(".");
  const [name, version] = parts.slice(-2);
  if (parts.length >= 2 && parts[0] !== "" && name && version && !runtime.includes("/")) {
    return `containerd-shim-${name}-${version}`;
  }
  throw new ManagerError(
    Code.InvalidArgument,
    `runtime ${JSON.stringify(runtime)}: neither a name like a.b.NAME.VERSION nor an absolute path`,
    {
      hint: "--runtime io.containerd.runc.v2",
    },
  );
}

/**
 * The file of a runtime. An absolute path is used as it is; a name is looked up in `directories`, in their order. containerd's
 * own order is its working directory, $PATH, then the directory of its binary. Throws NotFound.
 */
export async function findShimBinary(runtime: string, directories: readonly string[]): Promise<string> {
  if (isAbsolute(runtime)) {
    if (await isExecutable(runtime)) return runtime;
    throw new ManagerError(Code.NotFound, `runtime ${JSON.stringify(runtime)}: no executable file there`);
  }
  const name = shimBinaryName(runtime);
  for (const directory of directories) {
    const path = join(directory, name);
    if (isAbsolute(path) && (await isExecutable(path))) return path;
  }
  throw new ManagerError(Code.NotFound, `runtime ${JSON.stringify(runtime)}: no ${name} in ${directories.join(":")}`);
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
