import { readFileSync, writeFileSync } from "node:fs";
import type { Layout } from "../container/layout.ts";
import type { RunscBinary } from "../runsc/binary.ts";

/** In the container's work folder: what it was made with, and what set each value. */
export const EFFECTIVE_FILE = "effective.json";

/** Write down the configuration that a container is made with: for people, and `recordedBinary`. */
export function writeEffective(
  { config, root, work }: Layout,
  binary: RunscBinary,
  platform: string | undefined,
): void {
  const shim = { binary_name: config.binaryName, root: config.root, io_uid: config.ioUid, io_gid: config.ioGid };
  const settings = {
    ...Object.fromEntries(Object.entries(shim).map(([key, value]) => [key, { value, source: "default" }])),
    ...Object.fromEntries(config.settings),
    ...(platform !== undefined && !config.flags.has("platform")
      ? { "runsc_config.platform": { value: platform, source: "default: the first that starts here" } }
      : {}),
  };
  const effective = { runsc: { path: binary.path, version: binary.version }, state: root, settings };
  writeFileSync(`${work}/${EFFECTIVE_FILE}`, `${JSON.stringify(effective, undefined, 2)}\n`, { mode: 0o600 });
}

/** The runsc that a container was made with: another one may not understand its state. Undefined where none was. */
export function recordedBinary(work: string): string | undefined {
  try {
    const written = JSON.parse(readFileSync(`${work}/${EFFECTIVE_FILE}`, "utf8")) as { runsc?: { path?: unknown } };
    return typeof written.runsc?.path === "string" ? written.runsc.path : undefined;
  } catch {
    return undefined; // its Create was cut short before
  }
}
