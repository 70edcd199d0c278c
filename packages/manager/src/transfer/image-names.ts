import type { Descriptor } from "./descriptor.ts";

const NAME = "io.containerd.image.name";
const REFERENCE = "org.opencontainers.image.ref.name";

/** Annotations of a manifest in an archive's index: its full name, and the tag alone. */
export const NAME_ANNOTATION = { name: NAME, reference: REFERENCE } as const;

/** How images from an archive get names below a prefix. */
export interface NamePrefix {
  /** `registry.example/app`. */
  readonly name: string;
  /** Take full names as they are, also those that don't begin with the prefix. */
  readonly allowAnyName: boolean;
  /** Name images by their digest, too: `PREFIX@DIGEST`. */
  readonly addDigest: boolean;
  /** … but not those that have a name. */
  readonly skipNamedDigest: boolean;
}

/** The names of a manifest by its annotations, each once. None: nobody wants it by name. */
export function namesOf({ annotations, digest }: Descriptor, prefixes: readonly NamePrefix[]): string[] {
  const names = prefixes.flatMap((prefix) => {
    const name = nameBelow(annotations, prefix);
    const named = name === undefined ? [] : [name];
    const byDigest = prefix.addDigest && !(prefix.skipNamedDigest && name !== undefined);
    return byDigest ? [...named, `${prefix.name}@${digest}`] : named;
  });
  return [...new Set(names)];
}

function nameBelow(annotations: Readonly<Record<string, string>>, prefix: NamePrefix): string | undefined {
  const full = annotations[NAME] ?? "";
  if (full !== "") return prefix.allowAnyName || isBelow(full, prefix.name) ? full : undefined;
  const reference = annotations[REFERENCE] ?? "";
  if (reference === "") return undefined;
  // Some tools write the whole name into it.
  if (isBelow(reference, prefix.name)) return reference;
  return prefix.name === "" ? reference : `${prefix.name}:${reference}`;
}

function isBelow(name: string, prefix: string): boolean {
  return name === prefix || (name.startsWith(prefix) && /^[/:@]/.test(name.slice(prefix.length)));
}
