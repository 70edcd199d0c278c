import { InvalidSpec } from "../spec/invalid-spec.ts";
import type { FsParameter } from "./options.ts";

/** fsconfig(2) copies at most this many bytes of a string value, NUL included. */
export const MAX_FS_VALUE = 256;
/** mount(2) copies at most a page of options, NUL included. */
const MAX_MOUNT_DATA = 4096;
/** Options whose values are paths, where a comma has to be escaped in mount(2)'s list. */
const PATHS = new Set(["lowerdir", "upperdir", "workdir"]);

/** What a kernel's overlay can be told by fsconfig(2). */
export interface OverlayAbility {
  /** `lowerdir+` and `datadir+`, a layer each: from 6.8 on. */
  readonly layerByLayer: boolean;
  /** Values with a comma: from 6.5 on. */
  readonly commas: boolean;
}

/** A list of options for mount(2), whose `lowerdir` is relative to `directory`. */
export interface OverlayText {
  readonly directory: string;
  readonly text: string;
}

/**
 * Overlay's options as fsconfig(2) takes them: a `lowerdir` list that fits one value stays one; a longer one becomes `lowerdir+` (and `datadir+`
 * after `::`) per layer. Undefined where they can't be told this way.
 */
export function overlayParameters(
  data: readonly FsParameter[],
  { layerByLayer, commas }: OverlayAbility,
): readonly FsParameter[] | undefined {
  const parameters = data.flatMap(({ key, value }) => {
    if (value === undefined || fits(value) || key !== "lowerdir" || !layerByLayer) return [{ key, value }];
    return splitLayers(value);
  });
  const canBeTold = parameters.every(({ value = "" }) => fits(value) && (commas || !value.includes(",")));
  return canBeTold ? parameters : undefined;
}

/** The same for mount(2), which any kernel takes. Throws InvalidSpec for more than a page. */
export function overlayText(data: readonly FsParameter[], field: () => string): OverlayText {
  const lower = data.find(({ key }) => key === "lowerdir")?.value ?? "";
  const directory = commonDirectory(lower.match(LAYER)?.filter((part) => !part.startsWith(":")) ?? []);
  const words = data.map(({ key, value }) => {
    if (value === undefined) return key;
    const shown = key === "lowerdir" ? relativeLayers(value, directory) : value;
    return `${key}=${PATHS.has(key) ? shown.replaceAll(",", "\\,") : shown}`;
  });
  const text = words.join(",");
  if (Buffer.byteLength(text) >= MAX_MOUNT_DATA)
    throw new InvalidSpec(field(), `the options are longer than a kernel takes (${MAX_MOUNT_DATA - 1} bytes)`);
  return { directory: unescaped(directory), text };
}

/** Paths of all layers of a `lowerdir` list, data layers as well. */
export function lowerLayers(data: readonly FsParameter[]): string[] {
  const list = data.filter(({ key }) => key === "lowerdir").flatMap(({ value }) => splitLayers(value ?? ""));
  return list.flatMap(({ value }) => value ?? []);
}

function fits(value: string): boolean {
  return Buffer.byteLength(value) < MAX_FS_VALUE;
}

/** A layer, or what separates two. */
const LAYER = /(?:\\.|[^:\\])+|::|:/gs;

/** `a:b\:c::d` as layers a, `b:c` and the data layer d. */
function splitLayers(list: string): FsParameter[] {
  const layers: FsParameter[] = [];
  let key = "lowerdir+";
  for (const part of list.match(LAYER) ?? []) {
    if (part === "::") key = "datadir+";
    else if (part !== ":") layers.push({ key, value: unescaped(part) });
  }
  return layers;
}

/** The deepest directory that holds all these paths, without a slash at the end; escapes stay. */
function commonDirectory(paths: readonly string[]): string {
  const [first = [], ...rest] = paths.map((path) => path.split("/").slice(0, -1));
  const end = first.findIndex((name, i) => rest.some((names) => names[i] !== name));
  return first.slice(0, end < 0 ? first.length : end).join("/");
}

function relativeLayers(list: string, directory: string): string {
  return (list.match(LAYER) ?? [])
    .map((part) => (part.startsWith(":") ? part : part.slice(directory.length + 1)))
    .join("");
}

function unescaped(path: string): string {
  return path.replace(/\\(.)/gs, "$1");
}
