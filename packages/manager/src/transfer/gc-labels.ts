import type { Index, Manifest } from "./document.ts";
import type { ImageTree } from "./image-tree.ts";
import { labelBlob } from "./labels.ts";
import { isConfigType, isLayerType, isManifestType } from "./media-types.ts";
import type { TransferContext } from "./transfer-context.ts";

const PREFIX = "containerd.io/gc.ref.content";

/**
 * The labels that keep what a document names for as long as the document is kept. Their keys tell what kind of blob it is, and
 * number those of a kind. Source: manager contract, section 4.
 */
export function gcLabels(document: Index | Manifest): Record<string, string> {
  const children = document.kind === "index" ? document.manifests : [document.config, ...document.layers];
  const counts = new Map<string, number>();
  return Object.fromEntries(
    children.map(({ mediaType, digest }) => {
      const kind = labelKind(mediaType);
      const number = counts.get(kind) ?? 0;
      counts.set(kind, number + 1);
      return [`${PREFIX}.${kind}${kind === "config" && number === 0 ? "" : number}`, digest];
    }),
  );
}

function labelKind(mediaType: string): string {
  if (isManifestType(mediaType)) return "m.";
  if (isLayerType(mediaType)) return "l.";
  return isConfigType(mediaType) ? "config" : "";
}

/** Label all documents of a tree: inner ones first, so that what is labelled has what it keeps. */
export async function labelTree(context: TransferContext, tree: ImageTree): Promise<void> {
  for (const node of [...tree.images, ...tree.indexes.toReversed()]) {
    await labelBlob(context, node.descriptor.digest, gcLabels(node));
  }
}
