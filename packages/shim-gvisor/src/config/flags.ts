import { Code, StatusError } from "ttrpc-ts";
import type { RunscBinary } from "../runsc/binary.ts";
import type { GvisorConfig } from "./config.ts";

/** A flag of `runsc create`, which gVisor's own shim takes among the global ones. */
const USER_LOG = "user-log";
/** Flags that name a file: `%ID%` in them is the container's id, as gVisor's own shim has it. */
const PATHS = new Set(["debug-log", "panic-log", USER_LOG]);

/** Throws InvalidArgument on a flag that this runsc does not have, with what set it and a similar one. */
export function checkFlags({ flags }: GvisorConfig, { flags: known, path, version }: RunscBinary): void {
  for (const [name, { source }] of flags) {
    if (known.has(name) || name === USER_LOG) continue;
    const plain = (text: string): string => text.toLowerCase().replaceAll(/[_-]/g, "");
    const near = [...known.keys()].find((each) => plain(each) === plain(name));
    throw new StatusError(
      Code.InvalidArgument,
      `${source}: runsc_config.${name}: ${path} (${version}) has no such flag${near === undefined ? "" : `; "${near}"?`}`,
    );
  }
}

/** The flags for every command of runsc; the platform is chosen for `create` alone. */
export function runscFlags({ flags }: GvisorConfig, id: string): string[] {
  return [...flags].flatMap(([name, { value }]) => {
    if (name === "platform" || name === USER_LOG) return [];
    return [`--${name}=${PATHS.has(name) ? String(value).replaceAll("%ID%", id) : value}`];
  });
}
