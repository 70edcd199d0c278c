import { InvalidSpec } from "./invalid-spec.ts";
import type { JsonObject } from "./json.ts";
import * as json from "./json.ts";

/** Kinds of hooks, in the order in which they come in a container's life. */
export const HOOK_KINDS = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;

/** `hooks.KIND`. */
export type HookKind = (typeof HOOK_KINDS)[number];

/** One program that runs at a point of a container's life. `field` is its place in the config, for messages. */
export interface Hook {
  readonly field: string;
  /** Absolute. */
  readonly path: string;
  /** argv, at least one: the path where the config has none. */
  readonly args: readonly string[];
  /** Exactly this environment: nothing of ours. */
  readonly env: readonly string[];
  /** Undefined: no limit. */
  readonly timeoutMs: number | undefined;
}

/** Every kind is there, most of them empty. */
export type Hooks = Readonly<Record<HookKind, readonly Hook[]>>;

const MAX_TIMEOUT_S = 1_000_000;

/** `hooks` from untrusted JSON. Throws InvalidSpec. */
export function parseHooks(root: JsonObject): Hooks {
  const from = json.optionalObject(root, "hooks", "") ?? {};
  const of = (kind: HookKind): Hook[] => json.list(from, kind, "hooks", parseHook);
  return {
    prestart: of("prestart"),
    createRuntime: of("createRuntime"),
    createContainer: of("createContainer"),
    startContainer: of("startContainer"),
    poststart: of("poststart"),
    poststop: of("poststop"),
  };
}

function parseHook(value: unknown, field: () => string): Hook {
  const at = field();
  const from = json.asObject(value, at);
  const path = json.requiredPath(from, "path", at);
  if (!path.startsWith("/")) throw new InvalidSpec(`${at}.path`, "not an absolute path", path);
  const args = json.strings(from, "args", at);
  const seconds = json.optionalInteger(from, "timeout", at, 1, MAX_TIMEOUT_S);
  return {
    field: `${at} ${JSON.stringify(path)}`,
    path,
    args: args.length === 0 ? [path] : args,
    env: json.strings(from, "env", at),
    timeoutMs: seconds === undefined ? undefined : seconds * 1000,
  };
}
