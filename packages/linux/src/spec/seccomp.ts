import type { SeccompProfile } from "../seccomp/profile.ts";
import { InvalidSpec } from "./invalid-spec.ts";
import type { JsonObject } from "./json.ts";
import * as json from "./json.ts";

const AT = "linux.seccomp";
const MAX_U32 = 0xffffffff;

/**
 * `linux.seccomp` from untrusted JSON. Checks shapes; names of actions, operators and architectures are the compiler's matter.
 * Undefined where there is none. Throws InvalidSpec.
 */
export function parseSeccomp(value: unknown): SeccompProfile | undefined {
  if (value === undefined || value === null) return undefined;
  const from = json.asObject(value, AT);
  const flags = from.flags === undefined || from.flags === null ? undefined : json.strings(from, "flags", AT);
  return {
    defaultAction: json.optionalString(from, "defaultAction", AT),
    defaultErrnoRet: json.optionalInteger(from, "defaultErrnoRet", AT, 0, MAX_U32),
    architectures: json.strings(from, "architectures", AT),
    ...(flags === undefined ? {} : { flags }),
    syscalls: json.list(from, "syscalls", AT, parseRule),
  };
}

type Rule = NonNullable<SeccompProfile["syscalls"]>[number];

function parseRule(value: unknown, field: () => string): Rule {
  const from = json.asObject(value, field());
  return {
    names: json.strings(from, "names", field()),
    action: json.requiredString(from, "action", field()),
    errnoRet: json.optionalInteger(from, "errnoRet", field(), 0, MAX_U32),
    args: json.list(from, "args", field(), parseArgument),
  };
}

type Argument = NonNullable<Rule["args"]>[number];

function parseArgument(value: unknown, field: () => string): Argument {
  const from: JsonObject = json.asObject(value, field());
  return {
    index: json.requiredInteger(from, "index", field(), 0, 5),
    value: word(from, "value", field()) ?? 0,
    valueTwo: word(from, "valueTwo", field()) ?? 0,
    op: json.requiredString(from, "op", field()),
  };
}

/** An unsigned 64-bit number as JSON gives it. */
function word(from: JsonObject, key: string, at: string): number | undefined {
  const value = from[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0) return value;
  throw new InvalidSpec(`${at}.${key}`, "not an unsigned integer", value);
}

/** Where the listener of SCMP_ACT_NOTIFY goes. */
export interface SeccompListener {
  /** A unix stream socket's absolute path. */
  readonly path: string;
  readonly metadata: string;
}

const MAX_SOCKET_PATH = 107;

/** `listenerPath` and `listenerMetadata` of `linux.seccomp`. Undefined where there is none. Throws InvalidSpec. */
export function parseSeccompListener(value: unknown): SeccompListener | undefined {
  if (value === undefined || value === null) return undefined;
  const from = json.asObject(value, AT);
  const path = json.optionalString(from, "listenerPath", AT) || undefined;
  const metadata = json.optionalString(from, "listenerMetadata", AT) ?? "";
  if (path === undefined) {
    if (metadata !== "") throw new InvalidSpec(`${AT}.listenerMetadata`, "without a listenerPath");
    return undefined;
  }
  if (!path.startsWith("/")) throw new InvalidSpec(`${AT}.listenerPath`, "not an absolute path", path);
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    throw new InvalidSpec(`${AT}.listenerPath`, `longer than ${MAX_SOCKET_PATH} bytes`, path);
  return { path, metadata };
}
