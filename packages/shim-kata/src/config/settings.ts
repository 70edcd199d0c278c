import { parse as parseToml } from "smol-toml";
import { Code, StatusError } from "ttrpc-ts";
import { IGNORED, KEYS, type KeyPath, type KeyType } from "./keys.ts";

/** A value, checked for its type, and what set it: a file's path, or an annotation. */
export interface Setting {
  readonly value: string | number | boolean | readonly string[];
  readonly source: string;
}

/** By key. */
export type Settings = ReadonlyMap<KeyPath, Setting>;

/** Parse a configuration file. Throws InvalidArgument naming `source` and the key: on an unknown one, too, with a similar one. */
export function parseSettings(source: string, toml: string): Settings {
  let table: Record<string, unknown>;
  try {
    table = parseToml(toml);
  } catch (error) {
    throw invalid(`${source}: no TOML: ${error instanceof Error ? error.message : error}`);
  }
  const settings = new Map<KeyPath, Setting>();
  for (const [path, value] of flatten(source, table)) {
    if (isKey(path)) settings.set(path, { value: checkType(`${source}: ${path}`, path, value), source });
    else if (!Object.hasOwn(IGNORED, path))
      throw invalid(`${source}: ${JSON.stringify(path)} is unknown${suggestion(path)}`);
  }
  return settings;
}

/** Read the text of an annotation as its key's type. Throws InvalidArgument naming the annotation. */
export function parseText(source: string, path: KeyPath, text: string): Setting["value"] {
  const { type } = KEYS[path];
  const readers: Readonly<Record<KeyType, () => unknown>> = {
    text: () => text,
    path: () => text,
    texts: () => text.split(" ").filter((word) => word !== ""),
    integer: () => (/^-?\d{1,9}$/.test(text) ? Number(text) : text),
    flag: () => (text === "true" ? true : text === "false" ? false : text),
  };
  return checkType(source, path, readers[type]());
}

/** Whether a path names a key that means something here. */
export function isKey(path: string): path is KeyPath {
  return Object.hasOwn(KEYS, path);
}

/** `; "X"?` where a known key is like `path`, else nothing. */
export function suggestion(path: string): string {
  const known = [...Object.keys(KEYS), ...Object.keys(IGNORED)];
  const near = known
    .map((each) => ({ each, distance: editDistance(lastName(each), lastName(path)) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return near !== undefined && near.distance <= 2 ? `; ${JSON.stringify(near.each)}?` : "";
}

/** The tables of the file that may have keys. Lists of tables and deeper tables are unknown keys. */
function flatten(source: string, table: Record<string, unknown>, prefix = ""): [string, unknown][] {
  return Object.entries(table).flatMap(([name, value]) => {
    const path = prefix === "" ? name : `${prefix}.${name}`;
    if (!isTable(value)) return [[path, value]];
    if (!isKey(path) && Object.keys(KEYS).some((key) => key.startsWith(`${path}.`)))
      return flatten(source, value, path);
    throw invalid(`${source}: [${path}] is unknown; tables are hypervisor.qemu, factory, agent.kata, runtime`);
  });
}

function checkType(field: string, path: KeyPath, value: unknown): Setting["value"] {
  const { type } = KEYS[path];
  if (type === "flag" && typeof value === "boolean") return value;
  if (type === "integer" && typeof value === "number" && Number.isInteger(value)) return value;
  if (type === "texts" && Array.isArray(value) && value.every((each) => typeof each === "string")) return value;
  if (type === "text" && typeof value === "string") return value;
  if (type === "path" && typeof value === "string" && (value === "" || value.startsWith("/"))) return value;
  const wanted = {
    text: "text",
    path: "absolute path",
    integer: "whole number",
    flag: "true or false",
    texts: "list of texts",
  };
  throw invalid(`${field}: ${JSON.stringify(value)} is no ${wanted[type]}`);
}

function isTable(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function lastName(path: string): string {
  return (path.split(".").at(-1) ?? "").toLowerCase().replaceAll(/[_-]/g, "");
}

/** How many letters must be put in, taken out or changed. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...from].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...to].entries())
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (letter === other ? 0 : 1)));
    row = next;
  }
  return row.at(-1) ?? 0;
}

function invalid(message: string): StatusError {
  return new StatusError(Code.InvalidArgument, message);
}
