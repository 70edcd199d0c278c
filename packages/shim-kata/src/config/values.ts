import { Code, StatusError } from "ttrpc-ts";
import { KEYS, type KeyPath } from "./keys.ts";
import type { Setting, Settings } from "./settings.ts";

/** The checked types of `KEYS` come back here: what a key's value can't be is an error of ours. */
function read(settings: Settings, key: KeyPath): Setting["value"] {
  return settings.get(key)?.value ?? KEYS[key].default;
}

/** A text, or a path. */
export function text(settings: Settings, key: KeyPath): string {
  return String(read(settings, key));
}

/** A list of texts. */
export function texts(settings: Settings, key: KeyPath): readonly string[] {
  const value = read(settings, key);
  return typeof value === "object" ? value : [];
}

/** Whether it is on. */
export function flag(settings: Settings, key: KeyPath): boolean {
  return read(settings, key) === true;
}

/** A whole number. Throws InvalidArgument where what was set is out of bounds. */
export function integer(settings: Settings, key: KeyPath, least: number, most: number): number {
  const value = Number(read(settings, key));
  const isSet = settings.has(key);
  if (!isSet || (value >= least && value <= most)) return value;
  throw invalid(`${settings.get(key)?.source}: ${key}: ${value} is not ${least} to ${most}`);
}

/** One of these words. Throws InvalidArgument on another. */
export function oneOf<T extends string>(settings: Settings, key: KeyPath, allowed: readonly T[]): T {
  const value = text(settings, key);
  const found = allowed.find((each) => each === value);
  if (found !== undefined) return found;
  throw invalid(`${settings.get(key)?.source}: ${key}: ${JSON.stringify(value)} is not one of ${allowed.join(", ")}`);
}

function invalid(message: string): StatusError {
  return new StatusError(Code.InvalidArgument, message);
}
