import { InvalidSpec } from "../spec/invalid-spec.ts";
import type { FsParameter } from "./options.ts";

/** fsconfig(2) copies at most this many bytes of a string value, NUL included. */
export const MAX_FS_VALUE = 256;

/**
 * Overlay's options as fsconfig takes them. A `lowerdir` list that fits one value stays one; a longer one becomes `lowerdir+`
 * (and `datadir+` after `::`) per layer, which kernels from 6.8 on take (`layerByLayer`). Throws InvalidSpec for a list that fits neither way.
 */
export function overlayParameters(
  data: readonly FsParameter[],
  layerByLayer: boolean,
  field: () => string,
): readonly FsParameter[] {
  return data.flatMap(({ key, value }) => {
    if (value === undefined || Buffer.byteLength(value) < MAX_FS_VALUE) return [{ key, value }];
    const layers = key === "lowerdir" && layerByLayer ? splitLayers(value) : [];
    const tooLong = layers.length === 0 || layers.some((layer) => Buffer.byteLength(layer.value ?? "") >= MAX_FS_VALUE);
    if (tooLong) throw new InvalidSpec(field(), `${key} is longer than this kernel takes (${MAX_FS_VALUE - 1} bytes)`);
    return layers;
  });
}

/** Paths of all layers of a `lowerdir` list, data layers as well. */
export function lowerLayers(data: readonly FsParameter[]): string[] {
  const list = data.filter(({ key }) => key === "lowerdir").flatMap(({ value }) => splitLayers(value ?? ""));
  return list.flatMap(({ value }) => value ?? []);
}

/** `a:b\:c::d` as layers a, `b:c` and the data layer d. */
function splitLayers(list: string): FsParameter[] {
  const layers: FsParameter[] = [];
  let key = "lowerdir+";
  for (const part of list.match(/(?:\\.|[^:\\])+|::|:/gs) ?? []) {
    if (part === "::") key = "datadir+";
    else if (part !== ":") layers.push({ key, value: part.replace(/\\(.)/gs, "$1") });
  }
  return layers;
}
