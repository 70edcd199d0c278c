/** What filters see of an object: texts, and maps of them. An empty text is as good as an absent one. */
export interface FilterFields {
  readonly [name: string]: string | FilterFields | undefined;
}

/** A path, and what is said of its value. */
export type Selector = { readonly path: readonly string[] } & (
  | { readonly operator: "present" }
  | { readonly operator: "==" | "!="; readonly value: string }
  | { readonly operator: "~="; readonly pattern: RegExp }
);

/** Whether an object is as a selector says. An absent field is equal to nothing, and matches as an empty text does. */
export function matchesSelector(selector: Selector, fields: FilterFields): boolean {
  const value = lookUp(fields, selector.path);
  switch (selector.operator) {
    case "present":
      return value !== "";
    case "==":
      return value !== "" && value === selector.value;
    case "!=":
      return value !== selector.value;
    case "~=":
      return selector.pattern.test(value);
  }
}

/** "" if absent. Keys of maps may have dots: the rest of the path is tried as one key first. */
function lookUp(fields: FilterFields, path: readonly string[]): string {
  const [first, ...rest] = path;
  const whole = own(fields, path.join("."));
  if (typeof whole === "string") return whole;
  const next = first === undefined || rest.length === 0 ? undefined : own(fields, first);
  return typeof next === "object" ? lookUp(next, rest) : "";
}

function own(fields: FilterFields, name: string): FilterFields[string] {
  return Object.hasOwn(fields, name) ? fields[name] : undefined;
}
