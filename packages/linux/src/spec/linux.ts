import { type IntelRdt, parseIntelRdt } from "./intel-rdt.ts";
import { InvalidSpec } from "./invalid-spec.ts";
import type { JsonObject } from "./json.ts";
import * as json from "./json.ts";
import { type MemoryPolicy, parseMemoryPolicy } from "./memory-policy.ts";
import { type NetDevice, parseNetDevices } from "./net-devices.ts";
import { MAX_ID, MAX_U32 } from "./process.ts";
import { parseSysctls, type Sysctl } from "./sysctl.ts";
import { NAMESPACE_FLAG, PERSONALITY, PROPAGATION } from "./tables.ts";

/** `linux.namespaces[].type`. */
export type NamespaceKind = keyof typeof NAMESPACE_FLAG;

/** One namespace: new, or joined if `path` (absolute) is given. `index` is the place in the config, for messages. */
export interface Namespace {
  readonly kind: NamespaceKind;
  readonly path: string | undefined;
  readonly index: number;
}

/** One line of a uid_map or gid_map. */
export interface IdMapping {
  readonly containerId: number;
  readonly hostId: number;
  readonly size: number;
}

/** A device node to be made. `mode` are permission bits. */
export interface Device {
  readonly path: string;
  readonly type: "c" | "b" | "p";
  readonly major: number;
  readonly minor: number;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A mount propagation: one MS_ flag, for one mount or the whole tree. */
export interface Propagation {
  readonly flag: number;
  readonly recursive: boolean;
}

/** Clock offset of a time namespace. */
export interface TimeOffset {
  readonly secs: number;
  readonly nanosecs: number;
}

/** `linux` of config.json. `resources` and `seccomp` are raw JSON: their modules parse them. */
export interface Linux {
  readonly namespaces: ReadonlyMap<NamespaceKind, Namespace>;
  readonly uidMappings: readonly IdMapping[];
  readonly gidMappings: readonly IdMapping[];
  readonly timeOffsets: ReadonlyMap<"monotonic" | "boottime", TimeOffset>;
  readonly devices: readonly Device[];
  readonly cgroupsPath: string | undefined;
  readonly resources: JsonObject | undefined;
  readonly rootfsPropagation: Propagation | undefined;
  readonly seccomp: JsonObject | undefined;
  readonly sysctl: readonly Sysctl[];
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  /** personality(2)'s argument. */
  readonly personality: number | undefined;
  readonly memoryPolicy: MemoryPolicy | undefined;
  readonly intelRdt: IntelRdt | undefined;
  /** Interfaces of the host's that become the container's. */
  readonly netDevices: readonly NetDevice[];
  /** SELinux label of the mounts that take one. */
  readonly mountLabel: string | undefined;
}

/** `linux` from untrusted JSON; absent is all defaults. Throws InvalidSpec. */
export function parseLinux(root: JsonObject): Linux {
  const at = "linux";
  const from = json.optionalObject(root, "linux", "") ?? {};
  const namespaces = parseNamespaces(from, at);
  const uidMappings = parseMappings(from, "uidMappings", at);
  const gidMappings = parseMappings(from, "gidMappings", at);
  checkUserNamespace(namespaces, uidMappings, gidMappings);
  return {
    namespaces,
    uidMappings,
    gidMappings,
    timeOffsets: parseTimeOffsets(from, at, namespaces),
    devices: parseDevices(from, at),
    cgroupsPath: json.optionalString(from, "cgroupsPath", at) || undefined,
    resources: json.optionalObject(from, "resources", at),
    rootfsPropagation: parsePropagation(from, at),
    seccomp: json.optionalObject(from, "seccomp", at),
    sysctl: parseSysctls(json.stringMap(from, "sysctl", at), namespaces),
    maskedPaths: parsePaths(from, "maskedPaths", at, namespaces),
    readonlyPaths: parsePaths(from, "readonlyPaths", at, namespaces),
    personality: parsePersonality(from, at),
    memoryPolicy: parseMemoryPolicy(from, at),
    intelRdt: parseIntelRdt(from, at),
    netDevices: parseNetDevices(from, at, namespaces.has("network")),
    mountLabel: json.optionalString(from, "mountLabel", at) || undefined,
  };
}

function parseNamespaces(from: JsonObject, at: string): ReadonlyMap<NamespaceKind, Namespace> {
  const found = new Map<NamespaceKind, Namespace>();
  json.list(from, "namespaces", at, (entry, field) => {
    const namespace = json.asObject(entry, field());
    const kind = json.requiredString(namespace, "type", field());
    if (!isNamespaceKind(kind)) throw new InvalidSpec(`${field()}.type`, "unknown", kind);
    if (found.has(kind)) throw new InvalidSpec(`${field()}.type`, "given twice", kind);
    const path = json.optionalString(namespace, "path", field()) || undefined;
    if (path !== undefined && !path.startsWith("/"))
      throw new InvalidSpec(`${field()}.path`, "not an absolute path", path);
    found.set(kind, { kind, path, index: found.size });
  });
  if (!found.has("mount")) throw new InvalidSpec("linux.namespaces", "a mount namespace is required");
  return found;
}

function isNamespaceKind(text: string): text is NamespaceKind {
  return Object.hasOwn(NAMESPACE_FLAG, text);
}

/** A new user namespace needs mappings; mappings without any namespace would be ignored. */
function checkUserNamespace(
  namespaces: ReadonlyMap<NamespaceKind, Namespace>,
  uids: readonly IdMapping[],
  gids: readonly IdMapping[],
): void {
  const user = namespaces.get("user");
  if (user === undefined) {
    if (uids.length > 0) throw new InvalidSpec("linux.uidMappings", "without a user namespace");
    if (gids.length > 0) throw new InvalidSpec("linux.gidMappings", "without a user namespace");
  } else if (user.path === undefined) {
    if (uids.length === 0) throw new InvalidSpec("linux.uidMappings", "a new user namespace needs some");
    if (gids.length === 0) throw new InvalidSpec("linux.gidMappings", "a new user namespace needs some");
  }
}

/** Lines of a map: the kernel takes 340. */
const MAX_MAPPINGS = 340;

/** One map, at most 340 lines, of the spec's user namespace or of a mount. Throws InvalidSpec. */
export function parseMappings(from: JsonObject, key: string, at: string): IdMapping[] {
  const mappings = json.list(from, key, at, (entry, field) => {
    const mapping = json.asObject(entry, field());
    return {
      containerId: json.requiredInteger(mapping, "containerID", field(), 0, MAX_ID),
      hostId: json.requiredInteger(mapping, "hostID", field(), 0, MAX_ID),
      size: json.requiredInteger(mapping, "size", field(), 1, MAX_U32),
    };
  });
  if (mappings.length > MAX_MAPPINGS) throw new InvalidSpec(json.pathOf(at, key), `more than ${MAX_MAPPINGS} lines`);
  return mappings;
}

function parseTimeOffsets(from: JsonObject, parent: string, namespaces: Linux["namespaces"]): Linux["timeOffsets"] {
  const at = json.pathOf(parent, "timeOffsets");
  const offsets = new Map<"monotonic" | "boottime", TimeOffset>();
  const given = json.optionalObject(from, "timeOffsets", parent) ?? {};
  for (const clock of Object.keys(given)) {
    if (clock !== "monotonic" && clock !== "boottime") throw new InvalidSpec(at, "unknown clock", clock);
    const offset = json.optionalObject(given, clock, at) ?? {};
    const secs = json.optionalInteger(offset, "secs", `${at}.${clock}`, -(2 ** 40), 2 ** 40) ?? 0;
    const nanosecs = json.optionalInteger(offset, "nanosecs", `${at}.${clock}`, 0, 999_999_999) ?? 0;
    offsets.set(clock, { secs, nanosecs });
  }
  const time = namespaces.get("time");
  if (offsets.size > 0 && (time === undefined || time.path !== undefined)) {
    throw new InvalidSpec(at, "needs a new time namespace");
  }
  return offsets;
}

function parseDevices(from: JsonObject, at: string): Device[] {
  return json.list(from, "devices", at, (entry, field) => {
    const device = json.asObject(entry, field());
    const path = json.requiredString(device, "path", field());
    if (!path.startsWith("/") || path.split("/").includes("..") || path.endsWith("/")) {
      throw new InvalidSpec(`${field()}.path`, "not an absolute path of a file", path);
    }
    const given = json.requiredString(device, "type", field());
    const type = given === "u" ? "c" : given;
    if (type !== "c" && type !== "b" && type !== "p") throw new InvalidSpec(`${field()}.type`, "unknown", given);
    const number = (key: string, most: number) => json.optionalInteger(device, key, field(), 0, most) ?? 0;
    return {
      path,
      type,
      major: number("major", 0xfff),
      minor: number("minor", 0xfffff),
      mode: (json.optionalInteger(device, "fileMode", field(), 0, MAX_U32) ?? 0o666) & 0o7777,
      uid: number("uid", MAX_ID),
      gid: number("gid", MAX_ID),
    };
  });
}

function parsePropagation(from: JsonObject, at: string): Propagation | undefined {
  const name = json.optionalString(from, "rootfsPropagation", at) || undefined;
  if (name === undefined) return undefined;
  const propagation = PROPAGATION.get(name);
  if (propagation === undefined) throw new InvalidSpec(json.pathOf(at, "rootfsPropagation"), "unknown", name);
  return propagation;
}

function parsePaths(from: JsonObject, key: string, at: string, namespaces: Linux["namespaces"]): string[] {
  const paths = json.strings(from, key, at);
  paths.forEach((path, i) => {
    if (!path.startsWith("/")) throw new InvalidSpec(`${at}.${key}[${i}]`, "not an absolute path", path);
  });
  if (paths.length > 0 && namespaces.get("mount")?.path !== undefined) {
    throw new InvalidSpec(`${at}.${key}`, "not in a mount namespace that is joined");
  }
  return paths;
}

function parsePersonality(from: JsonObject, parent: string): number | undefined {
  const at = json.pathOf(parent, "personality");
  const personality = json.optionalObject(from, "personality", parent);
  if (personality === undefined) return undefined;
  const domain = json.requiredString(personality, "domain", at);
  const number = PERSONALITY.get(domain);
  if (number === undefined) throw new InvalidSpec(`${at}.domain`, "unknown", domain);
  json.refuse(personality, at, ["flags"]);
  return number;
}
