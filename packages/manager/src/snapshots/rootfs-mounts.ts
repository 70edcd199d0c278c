import { chmod, chown, lstat, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Rootfs } from "./rootfs.ts";

/** One mount for Create, in the shape of containerd's types.Mount. */
export interface RootfsMount {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}

/**
 * The mounts that make a container's root filesystem, to be handed to the shim in Create. `folder` is the container's own; an
 * overlay gets its `fs` and `work` directories there, `fs` with the mode and owner of the topmost layer's root.
 */
export async function rootfsMounts(rootfs: Rootfs, folder: string): Promise<RootfsMount[]> {
  if (rootfs.kind === "direct") {
    return [{ type: "bind", source: rootfs.path, target: "", options: ["rbind", "rw"] }];
  }
  const [upper, work] = [join(folder, "fs"), join(folder, "work")];
  await mkdir(work, { recursive: true, mode: 0o711 });
  await mkdir(upper, { recursive: true, mode: 0o755 });
  const top = rootfs.layers[0];
  if (top === undefined) throw new ManagerError(Code.Internal, "rootfs.layers: empty");
  const { mode, uid, gid } = await lstat(top);
  await chown(upper, uid, gid);
  await chmod(upper, mode & 0o7777);
  const lower = `lowerdir=${rootfs.layers.map(escapeLower).join(":")}`;
  return [
    {
      type: "overlay",
      source: "overlay",
      target: "",
      options: [`workdir=${escapeOption(work)}`, `upperdir=${escapeOption(upper)}`, lower],
    },
  ];
}

/** A comma would end the option, so no mount string can carry it through every shim; a colon would end the directory. */
function escapeLower(path: string): string {
  return escapeOption(path).replaceAll(":", "\\:");
}

function escapeOption(path: string): string {
  if (!/[,\\\n]/.test(path)) return path;
  throw new ManagerError(Code.InvalidArgument, `rootfs ${JSON.stringify(path)}: a comma or backslash in the path`);
}
