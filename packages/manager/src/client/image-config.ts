import type { ImageDefaults } from "../spec/container-options.ts";
import { invalid, type JsonObject, parseList, parseObject } from "../transfer/descriptor.ts";
import { parseJson } from "../transfer/document.ts";

/** What an image's config wishes for its containers. */
export interface ImageWishes {
  readonly defaults: ImageDefaults;
  /** A name or a number; empty for SIGTERM. */
  readonly stopSignal: string;
}

/** From the bytes of an OCI or docker config. Absent parts are empty; wrong types throw InvalidArgument, with `what` and the field. */
export function parseImageWishes(bytes: Uint8Array, what: string): ImageWishes {
  const document = parseJson(bytes, what);
  const config =
    document.config === undefined || document.config === null ? {} : parseObject(document.config, `${what}: config`);
  return {
    defaults: {
      env: texts(config, "Env", what),
      entrypoint: texts(config, "Entrypoint", what),
      cmd: texts(config, "Cmd", what),
      workingDir: text(config, "WorkingDir", what),
      user: text(config, "User", what),
    },
    stopSignal: text(config, "StopSignal", what),
  };
}

function texts(config: JsonObject, key: string, what: string): string[] {
  return parseList(config[key], `${what}: config.${key}`).map((item, index) => {
    if (typeof item === "string") return item;
    throw invalid(`${what}: config.${key}[${index}]`, "not a string");
  });
}

function text(config: JsonObject, key: string, what: string): string {
  const value = config[key] ?? "";
  if (typeof value === "string") return value;
  throw invalid(`${what}: config.${key}`, "not a string");
}
