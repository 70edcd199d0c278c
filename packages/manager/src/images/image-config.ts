import type { ImageDefaults } from "../spec/container-options.ts";
import { list, object, text } from "./archive/find-image.ts";
import { invalid } from "./archive/image-archive.ts";

/** What matters of an image's config document. */
export interface ImageConfig {
  readonly defaults: ImageDefaults;
  /** Digests of the uncompressed layers, bottom up. */
  readonly diffIds: readonly string[];
}

/** Parse an OCI or docker config. Absent parts are empty; wrong types throw InvalidArgument. */
export function parseImageConfig(document: unknown): ImageConfig {
  const root = object(document, "config");
  const rootfs = object(root.rootfs, "config: rootfs");
  const config = object(root.config ?? {}, "config: config");
  const texts = (key: string) => list(config[key] ?? [], `config: ${key}`).map((item) => text(item, `config: ${key}`));
  return {
    defaults: {
      env: texts("Env"),
      entrypoint: texts("Entrypoint"),
      cmd: texts("Cmd"),
      workingDir: text(config.WorkingDir ?? "", "config: WorkingDir"),
      user: text(config.User ?? "", "config: User"),
    },
    diffIds: list(rootfs.diff_ids, "config: rootfs.diff_ids").map(parseDiffId),
  };
}

/** A diff id becomes the name of a directory, so nothing but a digest may pass. */
function parseDiffId(id: unknown): string {
  const digest = text(id, "config: rootfs.diff_ids");
  if (/^sha256:[0-9a-f]{64}$/.test(digest)) return digest;
  throw invalid(`config: rootfs.diff_ids ${JSON.stringify(digest)}: not a sha256`);
}
