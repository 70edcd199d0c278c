import { readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { Code, errnoOf, ManagerError } from "@trimaran/manager";
import { MANIFEST } from "./plan.ts";

/** What an installation has written, so that it can be removed exactly. */
export interface Manifest {
  /** Relative to the prefix. */
  readonly files: readonly string[];
  /** containerd configurations that got our block. */
  readonly configs: readonly string[];
}

/** Undefined if nothing is installed there. Throws FailedPrecondition for a manifest that leads out of the prefix. */
export async function readManifest(prefix: string): Promise<Manifest | undefined> {
  const path = join(prefix, MANIFEST);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  if (isManifest(value)) return value;
  throw new ManagerError(Code.FailedPrecondition, `${path}: not a manifest of ours`);
}

function isManifest(value: unknown): value is Manifest {
  if (typeof value !== "object" || value === null) return false;
  const { files, configs } = value as Record<string, unknown>;
  return isTextList(files) && isTextList(configs) && files.every(isInside) && configs.every(isAbsolute);
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function isInside(path: string): boolean {
  return !isAbsolute(path) && !path.split("/").includes("..");
}
