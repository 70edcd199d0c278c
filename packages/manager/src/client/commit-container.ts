import { randomUUID } from "node:crypto";
import type { containerd } from "@trimaran/proto";
import { digestOf } from "../content/digest.ts";
import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import { formatReference, parseReference } from "../registry/reference.ts";
import { type Descriptor, fromWire, type JsonObject, parseList, parseObject, toJson } from "../transfer/descriptor.ts";
import { parseJson } from "../transfer/document.ts";
import { gcLabels } from "../transfer/gc-labels.ts";
import { type ImageNode, readTree, selectImages, storedDocuments } from "../transfer/image-tree.ts";
import { ingestBlob } from "../transfer/ingest.ts";
import { labelBlob } from "../transfer/labels.ts";
import { MEDIA_TYPE } from "../transfer/media-types.ts";
import { formatPlatform, hostPlatform } from "../transfer/platform.ts";
import { readBlob } from "../transfer/read-blob.ts";
import { type NamedImage, storeImage } from "../transfer/store-image.ts";
import { callOptions, type TransferContext } from "../transfer/transfer-context.ts";
import { unpackImage } from "../transfer/unpack.ts";
import type { ClientContainer } from "./client-container.ts";
import { findImage } from "./container-source.ts";
import type { ManagerClient } from "./manager-client.ts";
import { inTransfer, type TransferOptions } from "./transfer-scope.ts";

/** What a commit adds to the image's history. */
export interface CommitRequest {
  /** Name of the new image; completed as docker does it. */
  readonly name: string;
  readonly message: string;
  readonly author: string;
}

const LAYER = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const UNCOMPRESSED = "containerd.io/uncompressed";

/**
 * Make an image of a container: the layers of its own image, and one of what it has changed. Throws FailedPrecondition for a container
 * that was not made from an image.
 */
export async function commitContainer(
  client: ManagerClient,
  container: ClientContainer,
  { name, message, author }: CommitRequest,
  options: TransferOptions,
): Promise<NamedImage> {
  const { rootfs } = container;
  if (rootfs.kind !== "snapshot") {
    throw new ManagerError(
      Code.FailedPrecondition,
      `container ${JSON.stringify(container.id)}: it was not made from an image`,
    );
  }
  const reference = formatReference(parseReference(name));
  return inTransfer(client, options, async (context) => {
    const base = await baseImage(context, container);
    const { layer, diffId } = await diffLayer(context, rootfs.snapshotter, rootfs.key);
    const history = {
      created: new Date().toISOString(),
      created_by: container.args.join(" "),
      author,
      comment: message,
    };
    const document = await configOf(context, base, diffId, history);
    const config = await storeJson(context, "config", CONFIG, document);
    const layers = [...base.layers, layer];
    const manifest = await storeJson(context, "manifest", MEDIA_TYPE.manifest, {
      schemaVersion: 2,
      mediaType: MEDIA_TYPE.manifest,
      config: toJson(config),
      layers: layers.map(toJson),
    });
    await labelBlob(context, manifest.digest, gcLabels({ kind: "manifest", config, layers }));
    const image = await storeImage(context, { name: reference, target: manifest });
    const node = { kind: "manifest", config, layers, descriptor: manifest, platform: base.platform } as const;
    await unpackImage(context, node, rootfs.snapshotter);
    return image;
  });
}

async function baseImage(context: TransferContext, { id, image }: ClientContainer): Promise<ImageNode> {
  const named = await findImage(context, image).catch((cause: unknown) => {
    if (!hasCode(cause, Code.NotFound)) throw cause;
    const message = `container ${JSON.stringify(id)}: its image ${JSON.stringify(image)} is not in the store any more`;
    throw new ManagerError(Code.FailedPrecondition, message, { cause });
  });
  const [node] = selectImages(await readTree(named.target, storedDocuments(context)), [hostPlatform()]);
  if (node !== undefined) return node;
  throw new ManagerError(
    Code.NotFound,
    `image ${JSON.stringify(image)}: nothing for ${formatPlatform(hostPlatform())}`,
  );
}

/** What the container has on top of its parent, as a layer in the store. */
async function diffLayer(
  context: TransferContext,
  snapshotter: string,
  key: string,
): Promise<{ readonly layer: Descriptor; readonly diffId: string }> {
  const { snapshots, diff, content } = context.services;
  const { info } = await snapshots.stat({ snapshotter, key });
  const { mounts: right } = await snapshots.mounts({ snapshotter, key });
  const view = `commit-${randomUUID()}`;
  const { mounts: left } = await snapshots.view(
    { snapshotter, key: view, parent: info?.parent ?? "" },
    callOptions(context),
  );
  try {
    const request = { left, right, mediaType: LAYER, ref: view };
    const answer = await diff.diff(request, callOptions(context));
    const layer = fromWire(answer.diff, "diff");
    const { info: blob } = await content.info({ digest: layer.digest }, callOptions(context));
    const diffId = blob?.labels[UNCOMPRESSED];
    if (diffId === undefined) throw new ManagerError(Code.Internal, `layer ${layer.digest}: no label ${UNCOMPRESSED}`);
    return { layer, diffId };
  } finally {
    await snapshots.remove({ snapshotter, key: view }).catch(() => {}); // the lease would, later
  }
}

async function configOf(
  context: TransferContext,
  base: ImageNode,
  diffId: string,
  history: Readonly<Record<string, string>>,
): Promise<JsonObject> {
  const what = `config ${base.config.digest}`;
  const document = parseJson(await readBlob(context, base.config, "config"), what);
  const rootfs = parseObject(document.rootfs ?? {}, `${what}: rootfs`);
  const said = Object.fromEntries(Object.entries(history).filter(([, value]) => value !== ""));
  return {
    ...document,
    created: history.created,
    ...(history.author !== "" && { author: history.author }),
    rootfs: { type: "layers", diff_ids: [...parseList(rootfs.diff_ids, `${what}: rootfs.diff_ids`), diffId] },
    history: [...parseList(document.history, `${what}: history`), said],
  };
}

async function storeJson(
  context: TransferContext,
  kind: "config" | "manifest",
  mediaType: string,
  document: JsonObject,
): Promise<Descriptor> {
  const bytes = Buffer.from(JSON.stringify(document));
  const digest = digestOf(bytes, "sha256");
  await ingestBlob(context, {
    ref: `${kind}-${digest}`,
    what: `${kind} ${digest}`,
    sizeBytes: bytes.length,
    expected: digest,
    open: async function* (offset) {
      yield bytes.subarray(offset);
    },
  });
  const wire: containerd.types.Descriptor = { mediaType, digest, size: BigInt(bytes.length), annotations: {} };
  return fromWire(wire, kind);
}
