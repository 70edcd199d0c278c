import { parseNumberList } from "./cpu-list.ts";
import { InvalidSpec } from "./invalid-spec.ts";
import type { JsonObject } from "./json.ts";
import * as json from "./json.ts";
import { MEMORY_POLICY_FLAG, MEMORY_POLICY_MODE } from "./tables.ts";

/** set_mempolicy(2)'s arguments. `mode` has the flags in it. */
export interface MemoryPolicy {
  readonly mode: number;
  /** Node numbers, 0 to 1023. */
  readonly nodes: readonly number[];
}

const MAX_NODE = 1023;
/** Modes that take no nodes; PREFERRED may do without. */
const WITHOUT_NODES = new Set(["MPOL_DEFAULT", "MPOL_LOCAL"]);

/** `linux.memoryPolicy` from untrusted JSON. Throws InvalidSpec. Source: runtime-spec 1.3; set_mempolicy(2). */
export function parseMemoryPolicy(parent: JsonObject, at: string): MemoryPolicy | undefined {
  const from = json.optionalObject(parent, "memoryPolicy", at);
  if (from === undefined) return undefined;
  const here = json.pathOf(at, "memoryPolicy");
  const name = json.requiredString(from, "mode", here);
  const mode = MEMORY_POLICY_MODE.get(name);
  if (mode === undefined) throw new InvalidSpec(`${here}.mode`, "unknown", name);
  const flags = json.strings(from, "flags", here).reduce((bits, flag) => {
    const bit = MEMORY_POLICY_FLAG.get(flag);
    if (bit === undefined) throw new InvalidSpec(`${here}.flags`, "unknown", flag);
    return bits | bit;
  }, 0);
  const nodes = parseNumberList(json.optionalString(from, "nodes", here) ?? "", `${here}.nodes`, MAX_NODE);
  if (WITHOUT_NODES.has(name) && nodes.length > 0) throw new InvalidSpec(`${here}.nodes`, `${name} takes none`);
  if (!WITHOUT_NODES.has(name) && name !== "MPOL_PREFERRED" && nodes.length === 0)
    throw new InvalidSpec(`${here}.nodes`, `${name} needs some`);
  return { mode: mode | flags, nodes };
}
