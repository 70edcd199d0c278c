import { readFileSync } from "node:fs";
import { join } from "node:path";

/** What we read of a package.json of the workspace. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly exports?: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly repository?: { readonly type: string; readonly url: string };
  readonly [field: string]: unknown;
}

/** Fields that users of a package have a use for, in npm's order; the others are the workspace's. */
const PUBLISHED = ["name", "version", "description", "license", "type", "sideEffects", "engines", "dependencies"];

export function readManifest(directory: string): Manifest {
  return JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Manifest;
}

/** `./src/daemon/index.ts` to `./dist/daemon/index`. */
export function compiled(entry: string): string {
  return entry.replace(/^\.\/src\//, "./dist/").replace(/\.ts$/, "");
}

/** The package.json of the tarball: entries lead to JavaScript, with types beside it. `more` wins. */
export function publishedManifest(manifest: Manifest, root: Manifest, directory: string, more: object): object {
  const entries = Object.entries(manifest.exports ?? {}).map(([name, entry]) => {
    const path = compiled(entry);
    return [name, { types: `${path}.d.ts`, default: `${path}.js` }];
  });
  return {
    ...Object.fromEntries(PUBLISHED.filter((field) => field in manifest).map((field) => [field, manifest[field]])),
    ...(root.repository === undefined ? {} : { repository: { ...root.repository, directory } }),
    exports: { ...Object.fromEntries(entries), "./package.json": "./package.json" },
    ...more,
  };
}
