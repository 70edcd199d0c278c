import { readFileSync } from "node:fs";
import { notJson } from "@trimaran/linux";
import { Code, StatusError } from "ttrpc-ts";

/** Annotations that put containers into one shim, strongest first. Source: contract section 2.7. */
const GROUP_ANNOTATIONS = [
  "io.containerd.runc.v2.group",
  "io.kubernetes.cri.sandbox-id",
  "io.kubernetes.cri-o.SandboxID",
] as const;

/**
 * The group that a container belongs to: a pod's containers share one monitor. `bundle` holds config.json; without one (a
 * sandbox of containerd's "shim" sandboxer has none) or without an annotation the container is its own group.
 * Throws InvalidArgument where config.json is no JSON.
 */
export function readGroup(bundle: string, id: string): string {
  let text: string;
  try {
    text = readFileSync(`${bundle}/config.json`, "utf8");
  } catch {
    return id; // Create says what is wrong with it, and can name the field
  }
  const annotations = parseAnnotations(text);
  if (typeof annotations !== "object" || annotations === null) return id;
  for (const name of GROUP_ANNOTATIONS) {
    const value: unknown = Reflect.get(annotations, name);
    if (typeof value === "string" && value !== "") return value;
  }
  return id;
}

function parseAnnotations(text: string): unknown {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (error) {
    throw new StatusError(Code.InvalidArgument, `config.json: ${notJson(error)}`);
  }
  return typeof config === "object" && config !== null ? Reflect.get(config, "annotations") : undefined;
}
