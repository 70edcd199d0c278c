import { Code } from "../errors/manager-error.ts";
import { parseFilter } from "./filter/parse-filter.ts";
import { type FilterFields, matchesSelector } from "./filter/selector.ts";

export type { FilterFields } from "./filter/selector.ts";

/**
 * Compile the filters of a list call: an object matches if one of them does, and a filter if all of its selectors do. No filter,
 * or an empty one, matches all. Throws InvalidArgument, or the given code, with the place of the mistake. Source: containerd's
 * filter grammar.
 */
export function parseFilters(
  filters: readonly string[],
  code: Code = Code.InvalidArgument,
): (fields: FilterFields) => boolean {
  const parsed = filters.map((text, index) => parseFilter(text, `filters[${index}]`, code));
  if (parsed.length === 0 || parsed.some((selectors) => selectors.length === 0)) return () => true;
  return (fields) => parsed.some((selectors) => selectors.every((each) => matchesSelector(each, fields)));
}
