import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InvalidSpec, parseSpec, type Spec } from "@trimaran/linux";
import { type JsonObject, object } from "../storage/json.ts";

/** A bundle's config.json, checked, and as it is. */
export interface BundleConfig {
  readonly spec: Spec;
  readonly json: JsonObject;
}

/** Read and check. Throws InvalidSpec naming the field. */
export function readConfig(bundle: string): BundleConfig {
  let text: string;
  try {
    text = readFileSync(join(bundle, "config.json"), "utf8");
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InvalidSpec("config.json", `can't be read from the bundle ${bundle} (${why})`);
  }
  const spec = parseSpec(text);
  const json: unknown = JSON.parse(text);
  return { spec, json: object(json) };
}
