import type { Mount } from "../mount/mount.ts";
import { type Hooks, parseHooks } from "./hooks.ts";
import { InvalidSpec } from "./invalid-spec.ts";
import type { JsonObject } from "./json.ts";
import * as json from "./json.ts";
import { type Linux, parseLinux, parseMappings } from "./linux.ts";
import { type Process, parseProcess } from "./process.ts";

/** A parsed config.json. What is here can be compiled; what this version cannot honour made the parser throw. */
export interface Spec {
  readonly ociVersion: string;
  /** Undefined: Create succeeds, Start must fail. */
  readonly process: Process | undefined;
  /** Absolute, or relative to the bundle. */
  readonly root: { readonly path: string; readonly readonly: boolean };
  /** In listed order; targets are absolute. */
  readonly mounts: readonly Mount[];
  readonly hostname: string | undefined;
  readonly domainname: string | undefined;
  readonly annotations: ReadonlyMap<string, string>;
  readonly linux: Linux;
  readonly hooks: Hooks;
}

const MAX_BYTES = 4 << 20;
const MAX_HOST_NAME = 64;

/**
 * config.json (runtime-spec 1.0 to 1.3) from untrusted bytes or text, at most 4 MiB. Unknown properties are ignored; an
 * invalid value of a known one, and a known one that this version cannot honour, throws InvalidSpec naming the field.
 */
export function parseSpec(input: string | Uint8Array): Spec {
  return fromJson(parseJson(input, "config.json"));
}

/** An OCI Process as Exec brings it (JSON bytes or text, at most 4 MiB). Throws InvalidSpec. */
export function parseExecProcess(input: string | Uint8Array): Process {
  return parseProcess(parseJson(input, "process"));
}

function parseJson(input: string | Uint8Array, what: string): unknown {
  if (input.length > MAX_BYTES) throw new InvalidSpec(what, `more than ${MAX_BYTES} bytes`);
  try {
    return JSON.parse(typeof input === "string" ? input : new TextDecoder("utf-8", { fatal: true }).decode(input));
  } catch (error) {
    throw new InvalidSpec(what, notJson(error));
  }
}

/** Why a text is no JSON. The engine's own words quote the text, which holds secrets; where it was is enough. */
export function notJson(error: unknown): string {
  const place = error instanceof Error ? /\(line [0-9]+ column [0-9]+\)/.exec(error.message)?.[0] : undefined;
  return place === undefined ? "not JSON" : `not JSON ${place}`;
}

/** The same from JSON that is parsed already. Throws InvalidSpec. */
export function fromJson(value: unknown): Spec {
  const from = json.asObject(value, "config.json");
  const ociVersion = json.requiredString(from, "ociVersion", "");
  if (!/^1\.[0-9]+\.[0-9]+([-+].*)?$/.test(ociVersion)) throw new InvalidSpec("ociVersion", "not 1.x", ociVersion);
  const linux = parseLinux(from);
  const root = json.optionalObject(from, "root", "") ?? {};
  const process = json.optionalObject(from, "process", "");
  return {
    ociVersion,
    process: process === undefined ? undefined : parseProcess(process),
    root: {
      path: json.optionalString(root, "path", "root") || "rootfs",
      readonly: json.optionalBoolean(root, "readonly", "root"),
    },
    mounts: json.list(from, "mounts", "", parseMount),
    hostname: hostName(from, "hostname", linux),
    domainname: hostName(from, "domainname", linux),
    annotations: json.stringMap(from, "annotations", ""),
    linux,
    hooks: parseHooks(from),
  };
}

function hostName(from: JsonObject, key: string, linux: Linux): string | undefined {
  const name = json.optionalString(from, key, "") || undefined;
  if (name === undefined) return undefined;
  if (!linux.namespaces.has("uts")) throw new InvalidSpec(key, "needs a uts namespace", name);
  if (Buffer.byteLength(name) > MAX_HOST_NAME) throw new InvalidSpec(key, `longer than ${MAX_HOST_NAME} bytes`, name);
  return name;
}

/** A relative destination is relative to `/`. */
function parseMount(entry: unknown, field: () => string): Mount {
  const mount = json.asObject(entry, field());
  const destination = json.requiredPath(mount, "destination", field());
  const target = cleanTarget(destination);
  if (target === "/") throw new InvalidSpec(`${field()}.destination`, "is the root", destination);
  return {
    target,
    type: json.optionalString(mount, "type", field()) ?? "",
    source: json.optionalString(mount, "source", field()) ?? "",
    options: json.strings(mount, "options", field()),
    ...mountMappings(mount, field()),
  };
}

/** Both or none: the kernel maps uids and gids with one user namespace. */
function mountMappings(mount: json.JsonObject, at: string): Pick<Mount, "idMappings"> {
  const uids = parseMappings(mount, "uidMappings", at);
  const gids = parseMappings(mount, "gidMappings", at);
  if (uids.length === 0 && gids.length === 0) return {};
  if (uids.length === 0) throw new InvalidSpec(`${at}.uidMappings`, "gidMappings need them, too");
  if (gids.length === 0) throw new InvalidSpec(`${at}.gidMappings`, "uidMappings need them, too");
  return { idMappings: { uids, gids } };
}

/** Absolute and without `.`, `..` and empty parts; `..` at the root stays there. */
function cleanTarget(path: string): string {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}
