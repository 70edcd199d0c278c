import { readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { type Bundle, bundleAt, deleteBundle } from "../bundles/bundle.ts";
import { type BundleKind, layout } from "../bundles/directories.ts";
import { type Identifier, parseIdentifier } from "../bundles/identifier.ts";
import { errnoOf } from "../errors/manager-error.ts";
import { eachLimited } from "../host/each-limited.ts";
import type { ShimHost } from "./task-host.ts";

/** Shims asked at a time: each may cost a process. */
const PARALLEL = 8;

/** What is done with the bundles of an earlier daemon. */
export interface LeftBundles {
  readonly kind: BundleKind;
  /** Bring back what the bundle is for, or clean it up. */
  readonly recover: (bundle: Bundle) => Promise<void>;
  /** `recover` has failed. */
  readonly failed: (bundle: Bundle, error: unknown) => void;
  /** Whether the work directory of that id is in use, when all is recovered. */
  readonly isKnown: (namespace: string, id: string) => boolean;
}

/** Recover every bundle of a kind. Half-deleted and empty ones, and work directories of nobody, are removed. */
export async function recoverBundles(host: ShimHost, left: LeftBundles): Promise<void> {
  const namespaces = await namespacesIn(layout.allBundles(host.dirs, left.kind));
  const bundles = await Promise.all(namespaces.map((namespace) => bundlesOf(host, namespace, left.kind)));
  await eachLimited(PARALLEL, bundles.flat(), async (bundle) => {
    try {
      if (!(await removedEmpty(bundle.path))) await left.recover(bundle);
    } catch (error) {
      left.failed(bundle, error);
    }
  });
  await removeStrayWork(host, left);
}

async function removedEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOTEMPTY") return false;
    throw error;
  }
}

/** The namespace's bundles; what an interrupted deletion has left (its name begins with a dot) is removed. */
async function bundlesOf(host: ShimHost, namespace: Identifier, kind: BundleKind): Promise<Bundle[]> {
  const bundles: Bundle[] = [];
  for (const name of await namesIn(layout.bundles(host.dirs, namespace, kind))) {
    const id = asIdentifier(name.replace(/^\./, ""));
    if (id === undefined) continue; // nothing that we make
    const bundle = bundleAt(host.dirs, namespace, id, kind);
    if (name.startsWith(".")) await deleteBundle({ ...bundle, path: join(bundle.path, "..", name) }, host.syscalls());
    else bundles.push(bundle);
  }
  return bundles;
}

async function removeStrayWork(host: ShimHost, { kind, isKnown }: LeftBundles): Promise<void> {
  for (const namespace of await namespacesIn(layout.allBundleWorks(host.dirs, kind))) {
    const folder = layout.bundleWorks(host.dirs, namespace, kind);
    for (const name of await namesIn(folder)) {
      if (!isKnown(namespace, name)) await rm(join(folder, name), { recursive: true, force: true });
    }
  }
}

async function namespacesIn(folder: string): Promise<Identifier[]> {
  return (await namesIn(folder)).map(asIdentifier).filter((name) => name !== undefined);
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}

function asIdentifier(name: string): Identifier | undefined {
  try {
    return parseIdentifier("name", name);
  } catch {
    return undefined;
  }
}
