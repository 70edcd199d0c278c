import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { InvalidSpec, type Process, parseSpec, type Spec } from "@trimaran/linux";

/** What config.json says. */
export interface BundleSpec extends Spec {
  readonly process: Process;
  /** Absolute path of `root.path`. */
  readonly rootfs: string;
}

/** Read a bundle's config.json. Throws InvalidSpec naming the field; also where it has no process. */
export function readBundle(bundle: string): BundleSpec {
  let text: Buffer;
  try {
    text = readFileSync(join(bundle, "config.json"));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InvalidSpec("config.json", `can't be read from the bundle ${bundle} (${why})`);
  }
  const spec = parseSpec(text);
  if (spec.process === undefined) throw new InvalidSpec("process", "is missing");
  return { ...spec, process: spec.process, rootfs: resolve(bundle, spec.root.path) };
}
