import { Code, ManagerError } from "../errors/manager-error.ts";
import type { OciSpec } from "./oci-spec.ts";

/** A config.json that the manager wrote itself; the parts it uses again are checked. Throws Internal. */
export function parseOciSpec(path: string, text: string): OciSpec {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ManagerError(Code.Internal, `${path}: not JSON`, { cause });
  }
  if (!isSpec(value)) throw new ManagerError(Code.Internal, `${path}: process is incomplete`);
  return value;
}

function isSpec(value: unknown): value is OciSpec {
  if (typeof value !== "object" || value === null || !("process" in value)) return false;
  const { process } = value;
  if (typeof process !== "object" || process === null) return false;
  const { args, env, cwd, user } = process as Record<string, unknown>;
  return Array.isArray(args) && Array.isArray(env) && typeof cwd === "string" && typeof user === "object";
}
