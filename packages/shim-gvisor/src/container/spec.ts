import { readFileSync } from "node:fs";
import { join } from "node:path";
import { InvalidSpec, notJson } from "@trimaran/linux";

/** The part of config.json that the shim itself needs; runsc reads, checks and refuses the rest. */
export interface GvisorSpec {
  readonly terminal: boolean;
  readonly annotations: Readonly<Record<string, string>>;
  readonly rootPath: string;
  readonly cgroupsPath: string | undefined;
  /** Whether `runsc delete` has hooks to run. */
  readonly hasPoststopHooks: boolean;
  /** Path of the network namespace to join; undefined: a new one. */
  readonly networkNamespace: string | undefined;
  /** `linux.resources`, untrusted. */
  readonly resources: unknown;
}

const MAX_BYTES = 4 << 20;

/** Read config.json of a bundle. Throws InvalidSpec naming the field. */
export function readSpec(bundle: string): GvisorSpec {
  const spec = object(parse(bundle), "config.json");
  const linux = object(spec.linux ?? {}, "linux");
  const process = object(spec.process ?? {}, "process");
  for (const name of ["args", "env"]) checkTexts(process[name] ?? [], `process.${name}`);
  const namespaces = list(linux.namespaces).map((each, at) => object(each, `linux.namespaces[${at}]`));
  refuseUsers(namespaces);
  const hooks = object(spec.hooks ?? {}, "hooks");
  const annotations = object(spec.annotations ?? {}, "annotations");
  return {
    terminal: process.terminal === true,
    annotations: Object.fromEntries(
      Object.entries(annotations).map(([key, value]) => [key, text(value, `annotations ${JSON.stringify(key)}`)]),
    ),
    rootPath: text(object(spec.root ?? {}, "root").path ?? "rootfs", "root.path"),
    cgroupsPath: linux.cgroupsPath === undefined ? undefined : text(linux.cgroupsPath, "linux.cgroupsPath"),
    hasPoststopHooks: hooks.poststop !== undefined && hooks.poststop !== null,
    networkNamespace: networkNamespace(namespaces),
    resources: linux.resources,
  };
}

function parse(bundle: string): unknown {
  let bytes: Buffer;
  try {
    bytes = readFileSync(join(bundle, "config.json"));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InvalidSpec("config.json", `can't be read from the bundle ${bundle} (${why})`);
  }
  if (bytes.length > MAX_BYTES) throw new InvalidSpec("config.json", `more than ${MAX_BYTES} bytes`);
  try {
    return JSON.parse(bytes.toString());
  } catch (error) {
    throw new InvalidSpec("config.json", notJson(error));
  }
}

function networkNamespace(namespaces: readonly Readonly<Record<string, unknown>>[]): string | undefined {
  const own = namespaces.find(({ type }) => type === "network");
  return own?.path === undefined || own.path === "" ? undefined : text(own.path, "linux.namespaces network path");
}

/** A pod's that CRI has made: runsc has threads, and the kernel lets none of those join one (EINVAL). */
function refuseUsers(namespaces: readonly Readonly<Record<string, unknown>>[]): void {
  const at = namespaces.findIndex(({ type, path }) => type === "user" && path !== undefined && path !== "");
  if (at >= 0) throw new InvalidSpec(`linux.namespaces[${at}] "user" path`, "runsc can't join a user namespace");
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** Of what may be secret: runsc would repeat the whole spec, to the container's stderr, too. */
function checkTexts(value: unknown, field: string): void {
  if (Array.isArray(value) && value.every((each) => typeof each === "string")) return;
  throw new InvalidSpec(field, "not a list of strings");
}

function object(value: unknown, field: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new InvalidSpec(field, "not an object", value);
  return value as Record<string, unknown>;
}

function text(value: unknown, field: string): string {
  if (typeof value !== "string" || value.includes("\0")) throw new InvalidSpec(field, "not a string", value);
  return value;
}
