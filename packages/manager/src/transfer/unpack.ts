import { randomBytes } from "node:crypto";
import type { containerd } from "@trimaran/proto";
import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import { chainIds } from "./chain-id.ts";
import { type Descriptor, toWire } from "./descriptor.ts";
import { parseConfig } from "./document.ts";
import type { ImageNode } from "./image-tree.ts";
import { labelBlob } from "./labels.ts";
import { readBlob } from "./read-blob.ts";
import { callOptions, type TransferContext } from "./transfer-context.ts";

const DEFAULT_SNAPSHOTTER = "overlayfs";
const REFERENCE_LABEL = "containerd.io/snapshot.ref";

/** One layer, to be laid onto the ones below it. */
interface LayerStep {
  readonly snapshotter: string;
  readonly manifest: Descriptor;
  readonly layer: Descriptor;
  readonly diffId: string;
  /** Name of the snapshot with this layer on top. */
  readonly chainId: string;
  /** Name of the one below, or empty. */
  readonly parent: string;
}

/** The snapshotter to use when none is said: the namespace's own default, else overlayfs. */
export async function defaultSnapshotter(context: TransferContext, namespace: string): Promise<string> {
  const answer = await context.services.namespaces.get({ name: namespace }, callOptions(context));
  return answer.namespace?.labels["containerd.io/defaults/snapshotter"] || DEFAULT_SNAPSHOTTER;
}

/**
 * Make the snapshots of an image's layers, as far as they are missing, and tie them to its config so that they live as long.
 * Returns the name of the topmost one, empty for an image without layers. Throws InvalidArgument, FailedPrecondition for a layer
 * that is not what the config says, and what Diff.Apply throws.
 */
export async function unpackImage(context: TransferContext, image: ImageNode, snapshotter: string): Promise<string> {
  const what = `config ${image.config.digest}`;
  const { diffIds } = parseConfig(await readBlob(context, image.config, "config"), what);
  if (diffIds.length !== image.layers.length) {
    throw new ManagerError(
      Code.InvalidArgument,
      `${what}: ${diffIds.length} diff ids for ${image.layers.length} layers of manifest ${image.descriptor.digest}`,
    );
  }
  const chain = chainIds(diffIds);
  for (const [index, layer] of image.layers.entries()) {
    const step = { layer, diffId: diffIds[index] ?? "", chainId: chain[index] ?? "", parent: chain[index - 1] ?? "" };
    await unpackLayer(context, { snapshotter, manifest: image.descriptor, ...step });
  }
  const top = chain.at(-1) ?? "";
  if (top !== "") {
    await labelBlob(context, image.config.digest, { [`containerd.io/gc.ref.snapshot.${snapshotter}`]: top });
  }
  return top;
}

async function unpackLayer(context: TransferContext, step: LayerStep): Promise<void> {
  const { snapshotter, chainId, parent } = step;
  const { snapshots } = context.services;
  const key = `extract-${process.hrtime.bigint()}-${randomBytes(3).toString("base64url")} ${chainId}`;
  const labels = { [REFERENCE_LABEL]: chainId };
  // To prepare what exists leases it; to look first whether it exists would not.
  const prepared = await snapshots
    .prepare({ snapshotter, key, parent, labels }, callOptions(context))
    .catch((error: unknown) => {
      if (hasCode(error, Code.AlreadyExists)) return undefined;
      throw error;
    });
  if (prepared === undefined) return;
  try {
    await applyLayer(context, step, prepared.mounts);
    await snapshots.commit({ snapshotter, name: chainId, key, labels }, callOptions(context));
  } catch (error) {
    // An abort is no reason to leave the half-made snapshot, so its removal has no signal.
    await snapshots.remove({ snapshotter, key }, { lease: context.lease }).catch(() => {});
    if (!hasCode(error, Code.AlreadyExists)) throw error;
  }
  await labelBlob(context, step.layer.digest, { "containerd.io/uncompressed": step.diffId });
}

async function applyLayer(
  context: TransferContext,
  { layer, diffId, manifest }: LayerStep,
  mounts: readonly containerd.types.Mount[],
): Promise<void> {
  const node = { name: `layer-${layer.digest}`, parents: [`manifest-${manifest.digest}`], descriptor: layer };
  await context.progress({ ...node, event: "extracting", totalBytes: layer.size });
  const { applied } = await context.services.diff.apply({ diff: toWire(layer), mounts }, callOptions(context));
  if (applied?.digest === diffId) {
    await context.progress({ ...node, event: "extracted", doneBytes: layer.size, totalBytes: layer.size });
    return;
  }
  const message = `layer ${layer.digest}: wrong diff id ${applied?.digest}, its image's config says ${diffId}`;
  throw new ManagerError(Code.FailedPrecondition, message);
}
