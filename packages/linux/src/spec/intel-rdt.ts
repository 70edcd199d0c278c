import { InvalidSpec } from "./invalid-spec.ts";
import type { JsonObject } from "./json.ts";
import * as json from "./json.ts";

/** What a container wants of resctrl. */
export interface IntelRdt {
  /** The name of a group that others may share, "/" for the root group; undefined: a group of the container's own. */
  readonly closId: string | undefined;
  /** Lines of `l3CacheSchema` and `memBwSchema`, without newlines: what a group that is there already must have. */
  readonly limits: readonly string[];
  /** Lines of `schemata`, which are written last, whatever the group has. */
  readonly schemata: readonly string[];
  readonly enableMonitoring: boolean;
}

const ROOT = "/";
const MAX_NAME_BYTES = 255;
/** What resctrl itself has in a group's place. */
const RESERVED = new Set([".", "..", "info", "mon_groups", "mon_data"]);

/**
 * `linux.intelRdt` from untrusted JSON; a member of 1.0 to 1.2 that asks for figures (`enableCMT`, `enableMBM`) has no effect: the kernel takes
 * them for every group. Throws InvalidSpec. Source: runtime-spec 1.3, "IntelRdt".
 */
export function parseIntelRdt(parent: JsonObject, at: string): IntelRdt | undefined {
  const from = json.optionalObject(parent, "intelRdt", at);
  if (from === undefined) return undefined;
  const here = json.pathOf(at, "intelRdt");
  const closId = json.optionalString(from, "closID", here) || undefined;
  if (closId !== undefined && !isGroupName(closId)) throw new InvalidSpec(`${here}.closID`, "no group's name", closId);
  const cache = toLines(json.optionalString(from, "l3CacheSchema", here) ?? "");
  const bandwidth = json.optionalString(from, "memBwSchema", here) || undefined;
  if (bandwidth !== undefined && (!bandwidth.startsWith("MB:") || bandwidth.includes("\n")))
    throw new InvalidSpec(`${here}.memBwSchema`, "not one line that begins with MB:", bandwidth);
  const schemata = json.strings(from, "schemata", here);
  json.optionalBoolean(from, "enableCMT", here);
  json.optionalBoolean(from, "enableMBM", here);
  return {
    closId,
    limits: bandwidth === undefined ? cache : [...cache.filter((line) => !line.startsWith("MB:")), bandwidth],
    schemata: schemata.flatMap(toLines),
    enableMonitoring: json.optionalBoolean(from, "enableMonitoring", here),
  };
}

function isGroupName(name: string): boolean {
  if (name === ROOT) return true;
  return !RESERVED.has(name) && !/[/\n]/.test(name) && Buffer.byteLength(name) <= MAX_NAME_BYTES;
}

function toLines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}
