import { accessSync, constants, statSync } from "node:fs";
import { join } from "node:path";

/** Look criu up in `searchPath` (colons), or where an operator says it is. Undefined: it is not installed. */
export function findCriu(searchPath: string, configured = ""): string | undefined {
  const candidates =
    configured === "" ? searchPath.split(":").map((folder) => join(folder || "/", "criu")) : [configured];
  return candidates.find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
