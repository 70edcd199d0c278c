import { parse as parseToml } from "smol-toml";
import { Code, StatusError } from "ttrpc-ts";

/** A value, and what set it: a file's path, say. */
export interface Setting {
  readonly value: string | number | boolean;
  readonly source: string;
}

/** By key; those of the table of runsc's flags as `runsc_config.FLAG`. */
export type Settings = ReadonlyMap<string, Setting>;

/** Keys of gVisor's own shim. Some mean something to that shim only; they are accepted, so that its file can be kept as it is. */
const KEYS: Readonly<Record<string, "used" | "ignored">> = {
  binary_name: "used",
  root: "used",
  io_uid: "used",
  io_gid: "used",
  shim_cgroup: "used",
  grouping: "ignored", // pods are always grouped
  log_level: "ignored", // containerd's -debug decides
  log_path: "ignored",
  enable_hibernate_server: "ignored",
  TypeUrl: "ignored", // containerd 2.x sends its whole options table
};
const FLAGS = "runsc_config";
/** What the shim itself passes to runsc. */
const OURS = new Set(["root", "log", "log-fd", "log-format", "version"]);

/** Parse a table as gVisor's shim takes it. Throws InvalidArgument naming `where` and the key: on an unknown one, too. */
export function parseTable(where: string, toml: string): Settings {
  let table: Record<string, unknown>;
  try {
    table = parseToml(toml);
  } catch (error) {
    throw invalid(`${where}: no TOML: ${error instanceof Error ? error.message : error}`);
  }
  const settings = new Map<string, Setting>();
  for (const [key, value] of Object.entries(table)) {
    if (key === FLAGS) for (const [flag, each] of flagsOf(where, value)) settings.set(`${FLAGS}.${flag}`, each);
    else if (!Object.hasOwn(KEYS, key)) throw invalid(`${where}: ${JSON.stringify(key)} is unknown${hint(key)}`);
    else if (KEYS[key] === "used") settings.set(key, { value: scalar(`${where}: ${key}`, value), source: where });
  }
  return settings;
}

function flagsOf(where: string, value: unknown): [string, Setting][] {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(`${where}: ${FLAGS} is no table`);
  return Object.entries(value).map(([flag, each]) => {
    if (!/^[A-Za-z][A-Za-z0-9_-]*$/.test(flag))
      throw invalid(`${where}: ${FLAGS}: ${JSON.stringify(flag)} is no name of a flag`);
    if (OURS.has(flag))
      throw invalid(`${where}: ${FLAGS}.${flag}: is set by the shim${flag === "root" ? "; use root" : ""}`);
    return [flag, { value: scalar(`${where}: ${FLAGS}.${flag}`, each), source: where }];
  });
}

function scalar(field: string, value: unknown): Setting["value"] {
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return value;
  throw invalid(`${field}: ${JSON.stringify(value)} is no text, number or boolean`);
}

function hint(key: string): string {
  const plain = (name: string): string => name.toLowerCase().replaceAll(/[_-]/g, "");
  const near = [...Object.keys(KEYS), FLAGS].find((name) => plain(name) === plain(key));
  return near === undefined ? `; flags of runsc go into [${FLAGS}]` : `; "${near}"?`;
}

function invalid(message: string): StatusError {
  return new StatusError(Code.InvalidArgument, message);
}
