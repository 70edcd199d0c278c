import { readFileSync } from "node:fs";

/** Annotations that put containers into one shim, strongest first. Source: contract section 2.7. */
const GROUP_ANNOTATIONS = [
  "io.containerd.runc.v2.group",
  "io.kubernetes.cri.sandbox-id",
  "io.kubernetes.cri-o.SandboxID",
] as const;

/**
 * The group that a container belongs to: a pod's containers share one monitor. `bundle` holds config.json; without one (a
 * sandbox of containerd's "shim" sandboxer has none) or without an annotation the container is its own group.
 * Throws a SyntaxError where config.json is no JSON.
 */
export function readGroup(bundle: string, id: string): string {
  let text: string;
  try {
    text = readFileSync(`${bundle}/config.json`, "utf8");
  } catch {
    return id; // Create says what is wrong with it, and can name the field
  }
  const annotations: unknown = (JSON.parse(text) as { annotations?: unknown }).annotations;
  if (typeof annotations !== "object" || annotations === null) return id;
  for (const name of GROUP_ANNOTATIONS) {
    const value: unknown = Reflect.get(annotations, name);
    if (typeof value === "string" && value !== "") return value;
  }
  return id;
}
