import { Code, ManagerError } from "../errors/manager-error.ts";
import { applyMapPaths, type MaskPath, parseMask } from "../metadata/field-mask.ts";
import type { SandboxRecord } from "../metadata/sandboxes.ts";
import { updatedExtensions } from "./container-update.ts";

const FIELDS = ["labels", "extensions", "spec", "runtime"] as const;
type Field = (typeof FIELDS)[number];
const RULES = { fields: FIELDS, maps: ["labels", "extensions"] } as const;

/**
 * A sandbox after an update: what `fields` names is taken from `given`; without any, everything that may change, and then the
 * runtime's name must be the same. Throws InvalidArgument.
 */
export function updateSandbox(before: SandboxRecord, given: SandboxRecord, fields: readonly string[]): SandboxRecord {
  const paths = parseMask<Field>({ paths: fields }, RULES);
  const [old, wanted] = [before.runtime?.name ?? "", given.runtime?.name ?? ""];
  if (paths.length === 0 && old !== wanted) {
    const message = `sandbox.runtime.name ${JSON.stringify(wanted)}: is ${JSON.stringify(old)} and cannot change`;
    throw new ManagerError(Code.InvalidArgument, message);
  }
  const named = paths.length === 0 ? FIELDS.map((field) => ({ field, key: undefined })) : paths;
  return named.reduce((sandbox, path) => applyPath(sandbox, given, path), before);
}

function applyPath(sandbox: SandboxRecord, given: SandboxRecord, path: MaskPath<Field>): SandboxRecord {
  switch (path.field) {
    case "labels":
      return { ...sandbox, labels: { ...applyMapPaths(sandbox.labels, given.labels, [path]) } };
    case "extensions":
      return { ...sandbox, extensions: updatedExtensions(sandbox.extensions, given.extensions, path.key) };
    case "spec":
      return { ...sandbox, spec: given.spec };
    case "runtime":
      return { ...sandbox, runtime: given.runtime };
  }
}
