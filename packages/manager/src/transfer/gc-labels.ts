import type { Index, Manifest } from "./document.ts";
import type { ImageTree } from "./image-tree.ts";
import { labelBlob } from "./labels.ts";
import { isIndexType } from "./media-types.ts";
import type { TransferContext } from "./transfer-context.ts";

const PREFIX = "containerd.io/gc.ref.content";

/** The labels that keep what a document names for as long as the document is kept. Source: manager contract, section 4. */
export function gcLabels(document: Index | Manifest): Record<string, string> {
  if (document.kind === "manifest") {
    const layers = document.layers.map(({ digest }, index) => [`${PREFIX}.l.${index}`, digest]);
    return { [`${PREFIX}.config`]: document.config.digest, ...Object.fromEntries(layers) };
  }
  const counts = { manifests: 0, indexes: 0 };
  const labels = document.manifests.map(({ mediaType, digest }) =>
    isIndexType(mediaType) ? [`${PREFIX}.${counts.indexes++}`, digest] : [`${PREFIX}.m.${counts.manifests++}`, digest],
  );
  return Object.fromEntries(labels);
}

/** Label all documents of a tree: inner ones first, so that what is labelled has what it keeps. */
export async function labelTree(context: TransferContext, tree: ImageTree): Promise<void> {
  for (const node of [...tree.images, ...tree.indexes.toReversed()]) {
    await labelBlob(context, node.descriptor.digest, gcLabels(node));
  }
}
