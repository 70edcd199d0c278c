import { type ImageTree, selectImages } from "./image-tree.ts";
import { hostPlatform, type Platform } from "./platform.ts";
import type { TransferContext } from "./transfer-context.ts";
import { unpackImage } from "./unpack.ts";

/** Which images to unpack, and where to. */
export interface UnpackRequest {
  /** Undefined: this machine's. */
  readonly platform: Platform | undefined;
  readonly snapshotter: string;
}

/** Unpack, for each request, the image of a tree that fits its platform best; none is no error. */
export async function unpackImages(
  context: TransferContext,
  tree: ImageTree,
  requests: readonly UnpackRequest[],
): Promise<void> {
  for (const { platform, snapshotter } of requests) {
    const [image] = selectImages(tree, [platform ?? hostPlatform()]);
    if (image !== undefined) await unpackImage(context, image, snapshotter);
  }
}
