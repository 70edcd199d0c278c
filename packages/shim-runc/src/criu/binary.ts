import { join } from "node:path";
import { isProgram } from "@trimaran/shim-core";

/** Look criu up in `searchPath` (colons), or where an operator says it is. Undefined: it is not installed. */
export function findCriu(searchPath: string, configured = ""): string | undefined {
  const candidates =
    configured === "" ? searchPath.split(":").map((folder) => join(folder || "/", "criu")) : [configured];
  return candidates.find(isProgram);
}
