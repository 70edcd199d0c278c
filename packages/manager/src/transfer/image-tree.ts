import { Code, hasCode } from "../errors/manager-error.ts";
import { type Descriptor, invalid } from "./descriptor.ts";
import { type Index, type Manifest, parseConfig, parseDocument } from "./document.ts";
import { isIndexType, isManifestType } from "./media-types.ts";
import { type Platform, selectByPlatform } from "./platform.ts";
import { readBlob } from "./read-blob.ts";
import type { TransferContext } from "./transfer-context.ts";

/** An image of one platform. */
export interface ImageNode extends Manifest {
  readonly descriptor: Descriptor;
  readonly platform: Platform | undefined;
}

/** An index, with all that it names, whether it is there or not. */
export interface IndexNode extends Index {
  readonly descriptor: Descriptor;
}

/** All that a target leads to, layers not read. */
export interface ImageTree {
  readonly root: Descriptor;
  /** Outer ones first. */
  readonly indexes: readonly IndexNode[];
  /** In the order of the indexes. Each digest once. */
  readonly images: readonly ImageNode[];
}

/** The document that names another one. */
export interface ParentDocument {
  readonly kind: "index" | "manifest";
  readonly descriptor: Descriptor;
}

/** Where the documents of a tree come from: the store, or a registry by way of the store. Throws NotFound. */
export type DocumentReader = (
  descriptor: Descriptor,
  kind: "index" | "manifest" | "config",
  parent: ParentDocument | undefined,
) => Promise<Buffer>;

const DEPTH_LIMIT = 4;
const NODES_LIMIT = 2000;

/** Read documents from the content store. */
export function storedDocuments(context: TransferContext): DocumentReader {
  return (descriptor, kind) => readBlob(context, descriptor, kind);
}

/** Which of an index's manifests to look at. */
export type ManifestChoice = (manifests: readonly Descriptor[]) => readonly Descriptor[];

/**
 * Read indexes and manifests from the root down, and configs where a manifest's platform is not said. What an index names
 * and nobody has is left out as long as the index leads to something. Throws InvalidArgument, NotFound, DataLoss.
 */
export async function readTree(
  root: Descriptor,
  read: DocumentReader,
  choose: ManifestChoice = (manifests) => manifests,
): Promise<ImageTree> {
  const walk = {
    indexes: [] as IndexNode[],
    images: [] as ImageNode[],
    seen: new Set<string>(),
    absent: new Map<string, unknown>(),
  };
  await visit(root, 0, undefined);
  return { root, indexes: walk.indexes, images: walk.images };

  async function visit(descriptor: Descriptor, depth: number, parent: ParentDocument | undefined): Promise<void> {
    if (walk.seen.has(descriptor.digest)) return;
    if (walk.absent.has(descriptor.digest)) throw walk.absent.get(descriptor.digest);
    walk.seen.add(descriptor.digest);
    const what = `${descriptor.mediaType} ${descriptor.digest}`;
    if (depth > DEPTH_LIMIT) throw invalid(what, `indexes are nested more than ${DEPTH_LIMIT} deep`);
    if (walk.seen.size > NODES_LIMIT)
      throw invalid(`index ${root.digest}`, `leads to more than ${NODES_LIMIT} manifests`);
    const kind = isIndexType(descriptor.mediaType) ? "index" : "manifest";
    const document = parseDocument(await read(descriptor, kind, parent), descriptor.mediaType, what);
    if (document.kind === "manifest") {
      const platform = descriptor.platform ?? (await configPlatform(document.config, descriptor, read));
      walk.images.push({ ...document, descriptor, platform });
      return;
    }
    walk.indexes.push({ ...document, descriptor });
    await visitAll(choose(document.manifests), depth + 1, { kind: "index", descriptor });
  }

  async function visitAll(children: readonly Descriptor[], depth: number, parent: ParentDocument): Promise<void> {
    let found = 0;
    let missing: unknown;
    for (const child of children) {
      // An index may name anything, also what is no image: that is not for us to judge.
      if (!isIndexType(child.mediaType) && !isManifestType(child.mediaType)) continue;
      try {
        await visit(child, depth, parent);
        found++;
      } catch (error) {
        if (!hasCode(error, Code.NotFound)) throw error;
        walk.seen.delete(child.digest);
        walk.absent.set(child.digest, error); // an index may name it again, a thousand times on each of its levels (CVE-2026-53493)
        missing ??= error;
      }
    }
    if (found === 0 && missing !== undefined) throw missing;
  }
}

async function configPlatform(
  config: Descriptor,
  manifest: Descriptor,
  read: DocumentReader,
): Promise<Platform | undefined> {
  try {
    const bytes = await read(config, "config", { kind: "manifest", descriptor: manifest });
    return parseConfig(bytes, `config ${config.digest}`).platform;
  } catch (error) {
    // An artifact's config is anything; a missing one is found by whoever needs it.
    if (hasCode(error, Code.InvalidArgument) || hasCode(error, Code.NotFound)) return undefined;
    throw error;
  }
}

/** The images of a tree for some platforms, best ones; all if none are wanted. */
export function selectImages(tree: ImageTree, platforms: readonly Platform[]): readonly ImageNode[] {
  return selectByPlatform(tree.images, platforms, ({ platform }) => platform);
}
