import { readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { adaptVolumes, type VolumeSpec } from "./pod-volumes.ts";

// Node has these (ECMAScript's JSON.parse source text access), TypeScript's library does not yet.
declare global {
  interface JSON {
    parse(
      text: string,
      reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
    ): unknown;
    rawJSON(text: string): unknown;
  }
}

/**
 * Write the bundle's config.json anew with a pod's volumes as runsc wants them; whole, because a crash may come between. Nothing else
 * changes, numbers keep their digits. A spec that is none is left to runsc. Throws InvalidSpec as `adaptVolumes` does.
 */
export function rewriteVolumes(bundle: string, kind: "first" | "member"): void {
  const path = `${bundle}/config.json`;
  const spec: unknown = JSON.parse(readFileSync(path, "utf8"), keepDigits);
  if (!isVolumeSpec(spec)) return;
  const before = JSON.stringify(spec);
  adaptVolumes(spec, kind);
  const text = JSON.stringify(spec);
  if (text === before) return;
  writeFileSync(`${path}.new`, text, { mode: statSync(path).mode & 0o777 });
  renameSync(`${path}.new`, path);
}

/** Limits of 64 bits are more than a number here can hold. */
function keepDigits(_key: string, value: unknown, { source }: { readonly source?: string }): unknown {
  return typeof value === "number" && source !== undefined ? JSON.rawJSON(source) : value;
}

function isVolumeSpec(spec: unknown): spec is VolumeSpec {
  if (typeof spec !== "object" || spec === null) return false;
  const { annotations = {}, mounts = [] } = spec as Record<string, unknown>;
  return isObject(annotations) && Array.isArray(mounts) && mounts.every(isMount);
}

function isMount(mount: unknown): boolean {
  if (!isObject(mount)) return false;
  const { type = "", source = "", options = [] } = mount;
  return [mount.destination, type, source].every((each) => typeof each === "string") && Array.isArray(options);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
