import type { containerd } from "@trimaran/proto";
import { type Digest, isDigest } from "../content/digest.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { type Platform, parsePlatform } from "./platform.ts";

/** What a blob is: type, digest, length in bytes. Source: OCI image spec, descriptor.md. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly annotations: Readonly<Record<string, string>>;
  readonly platform: Platform | undefined;
}

/** A JSON object. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** From a document that somebody else wrote. Throws InvalidArgument with the field. */
export function parseDescriptor(value: unknown, field: string): Descriptor {
  const { mediaType, digest, size, annotations, platform } = parseObject(value, field);
  if (typeof mediaType !== "string" || mediaType === "") throw invalid(`${field}.mediaType`, "missing");
  if (typeof digest !== "string" || !isDigest(digest)) {
    throw invalid(`${field}.digest`, `${JSON.stringify(digest)} is not a digest`);
  }
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`${field}.size`, `${JSON.stringify(size)} is not a length`);
  }
  return {
    mediaType,
    digest,
    size,
    annotations:
      annotations === undefined || annotations === null ? {} : parseTexts(annotations, `${field}.annotations`),
    platform: platform === undefined || platform === null ? undefined : parsePlatform(platform, `${field}.platform`),
  };
}

/** From the wire. Throws InvalidArgument for what cannot be a blob, NotFound if there is none. */
export function fromWire(wire: containerd.types.Descriptor | undefined, field: string): Descriptor {
  if (wire === undefined) throw new ManagerError(Code.NotFound, `${field}: not found`);
  return parseDescriptor({ ...wire, size: Number(wire.size) }, field);
}

/** For the wire, which has no platform. */
export function toWire({ mediaType, digest, size, annotations }: Descriptor): containerd.types.Descriptor {
  return { mediaType, digest, size: BigInt(size), annotations: { ...annotations } };
}

/** For a JSON document, in the field order that everybody has. */
export function toJson({ mediaType, digest, size, annotations, platform }: Descriptor): JsonObject {
  return {
    mediaType,
    digest,
    size,
    ...(Object.keys(annotations).length > 0 && { annotations }),
    ...(platform !== undefined && { platform: platformJson(platform) }),
  };
}

function platformJson({ architecture, os, osVersion, variant }: Platform): JsonObject {
  return {
    architecture,
    os,
    ...(osVersion !== "" && { "os.version": osVersion }),
    ...(variant !== "" && { variant }),
  };
}

/** An object, or InvalidArgument. */
export function parseObject(value: unknown, field: string): JsonObject {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw invalid(field, "not an object");
}

/** A list, where null and absence are an empty one (Go writes null). */
export function parseList(value: unknown, field: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw invalid(field, "not a list");
}

function parseTexts(value: unknown, field: string): Record<string, string> {
  const object = parseObject(value, field);
  const wrong = Object.entries(object).find(([, text]) => typeof text !== "string");
  if (wrong !== undefined) throw invalid(`${field}.${wrong[0]}`, "not a string");
  return object as Record<string, string>;
}

/** An image that is not what it should be. */
export function invalid(field: string, why: string): ManagerError {
  return new ManagerError(Code.InvalidArgument, `${field}: ${why}`);
}
