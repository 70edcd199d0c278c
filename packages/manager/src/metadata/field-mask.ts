import { Code, ManagerError } from "../errors/manager-error.ts";
import { type Labels, parseLabels, withLabel } from "./labels.ts";

/** One path of an update mask: a field, and a key if the field is a map and the path goes on. */
export interface MaskPath<Field extends string> {
  readonly field: Field;
  /** All that follows the first dot, dots and slashes included. */
  readonly key: string | undefined;
}

/** What an update mask may name: fields as a whole, and maps of which it may name one key. */
export interface MaskRules<Field extends string> {
  readonly fields: readonly Field[];
  readonly maps: readonly Field[];
}

/** Paths of a mask. Throws InvalidArgument for one that is not allowed. An absent mask has no paths. */
export function parseMask<Field extends string>(
  mask: { readonly paths: readonly string[] } | undefined,
  rules: MaskRules<Field>,
): MaskPath<Field>[] {
  return (mask?.paths ?? []).map((path) => {
    const dot = path.indexOf(".");
    const [name, key] = dot < 0 ? [path, undefined] : [path.slice(0, dot), path.slice(dot + 1)];
    const allowed = key === undefined ? rules.fields : rules.maps;
    const field = allowed.find((each) => each === name);
    if (field !== undefined && key !== "") return { field, key };
    throw new ManagerError(Code.InvalidArgument, `update_mask ${JSON.stringify(path)}: cannot be updated`);
  });
}

const LABELS_ONLY: MaskRules<"labels"> = { fields: ["labels"], maps: ["labels"] };

/**
 * An update of an object of which only the labels change: all of them without a mask or with `labels`, single ones with
 * `labels.K`. Throws InvalidArgument.
 */
export function updateLabels(
  labels: Labels,
  given: Labels,
  mask: { readonly paths: readonly string[] } | undefined,
): Labels {
  const paths = parseMask(mask, LABELS_ONLY);
  return parseLabels("labels", applyMapPaths(labels, given, paths));
}

/** A map after an update by those paths; no path replaces it. */
export function applyMapPaths(map: Labels, given: Labels, paths: readonly MaskPath<string>[]): Labels {
  if (paths.length === 0) return given;
  return paths.reduce<Labels>((result, { key }) => (key === undefined ? given : withLabel(result, key, given)), map);
}
