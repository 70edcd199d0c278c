import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { join, resolve } from "node:path";

/**
 * The binary that is meant: a path as it is; a runtime's name, `io.containerd.runc.v2`, by the rule of containerd: its last two parts are
 * those of `containerd-shim-runc-v2`, looked for in `folders`. Throws RangeError if it is not there or may not be executed.
 */
export async function findShim(name: string, folders: readonly string[]): Promise<string> {
  const parts = name.split(".");
  const file = parts.length >= 2 && !name.includes("/") ? `containerd-shim-${parts.slice(-2).join("-")}` : name;
  const places = name.includes("/") ? [resolve(name)] : folders.map((folder) => join(folder, file));
  for (const place of places) {
    const isThere = await access(place, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (isThere) return place;
  }
  throw new RangeError(`${file}: no such program${name.includes("/") ? "" : ` in ${folders.join(":")}`}`);
}
