import { randomUUID } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import type { containerd, contentV1, diffV1 } from "@trimaran/proto";
import type { BlobFiles } from "../content/blob-files.ts";
import { type Digest, parseDigest } from "../content/digest.ts";
import { Code, errnoOf, hasCode, ManagerError, messageOf, StatusError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { requireNamespace, type ServiceCall } from "../grpc/service-call.ts";
import type { DiffResult } from "../layers/diff/diff-trees.ts";
import { diffCompression, isPlainLayer, LAYER_MEDIA_TYPE } from "../layers/media-type.ts";
import { toApplyTarget } from "../layers/mount/apply-target.ts";
import { TarError } from "../layers/tar/tar-header.ts";
import type { LayerThreads } from "../layers/thread/layer-threads.ts";
import { LayerSystemError } from "../layers/thread/thrown-error.ts";
import { LayerError } from "../layers/unpack/layer-error.ts";
import type { LayerLimits } from "../layers/unpack/limits.ts";
import { ContentUpload } from "./content-upload.ts";

/** What the diff service stands on. */
export interface DiffHost {
  /** Records, leases and events of blobs are the content service's. */
  readonly content: Implementation<typeof contentV1>;
  readonly blobs: Pick<BlobFiles, "path" | "pin">;
  readonly threads: LayerThreads;
  readonly limits: LayerLimits;
}

type ApplyRequest = containerd.services.diff.v1.ApplyRequest;
type DiffRequest = containerd.services.diff.v1.DiffRequest;
type Descriptor = { readonly mediaType: string; readonly digest: string; readonly size: bigint };

const UNCOMPRESSED_LABEL = "containerd.io/uncompressed";

/** containerd.services.diff.v1.Diff. */
export function diffService(host: DiffHost): Implementation<typeof diffV1> {
  return {
    apply: async (request, call) => ({ applied: await apply(host, request, call) }),
    diff: async (request, call) => ({ diff: await diff(host, request, call) }),
  };
}

/** Unpack a blob into mounts; the descriptor of the uncompressed stream. */
async function apply(host: DiffHost, { diff, mounts, syncFs }: ApplyRequest, call: ServiceCall): Promise<Descriptor> {
  requireNamespace(call);
  const digest = parseDigest("diff.digest", diff?.digest ?? "");
  using _ = host.blobs.pin(digest);
  await host.content.info({ digest }, call); // NotFound, if it is not this namespace's
  const isPlain = isPlainLayer(diff?.mediaType ?? "");
  if (mounts.length === 0) throw new ManagerError(Code.InvalidArgument, "mounts: none");
  const target = toApplyTarget(mounts);
  const file = await openBlob(host, digest);
  try {
    const blob = { fd: file.fd, offset: 0, sizeBytes: (await file.stat()).size };
    const job = { kind: "apply", source: { blob, isPlain }, target, limits: host.limits, sync: syncFs } as const;
    const applied = await host.threads.run(job, { signal: call.signal });
    return { mediaType: LAYER_MEDIA_TYPE, digest: applied.digest, size: BigInt(applied.sizeBytes) };
  } catch (error) {
    throw toLayerStatus(`failed to extract layer ${digest}`, error);
  } finally {
    await file.close();
  }
}

async function openBlob({ blobs }: DiffHost, digest: Digest): Promise<FileHandle> {
  try {
    return await open(blobs.path(digest), "r");
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    throw new ManagerError(Code.NotFound, `content digest ${digest}: not found`, { cause: error });
  }
}

/** Make a layer of the difference between two mounts; the descriptor of the blob. */
async function diff(host: DiffHost, request: DiffRequest, call: ServiceCall): Promise<Descriptor> {
  requireNamespace(call);
  const { mediaType, compression } = diffCompression(request.mediaType);
  const { left, right, sourceDateEpoch } = request;
  if (right.length === 0) throw new ManagerError(Code.InvalidArgument, "right: no mounts");
  const latestSeconds = sourceDateEpoch === undefined ? undefined : Number(sourceDateEpoch.seconds);
  const ref = request.ref || `diff-${randomUUID()}`;
  const upload = new ContentUpload(host.content.write, ref, call);
  try {
    const job = { kind: "diff", left, right, compression, latestSeconds } as const;
    const result = await host.threads.run(job, { signal: call.signal, write: (chunk) => upload.write(chunk) });
    await store(host, upload, result, request.labels, call);
    return { mediaType, digest: result.digest, size: BigInt(result.sizeBytes) };
  } catch (error) {
    await discard(host, upload, ref, call);
    throw toLayerStatus("failed to compare", error);
  } finally {
    await upload[Symbol.asyncDispose]();
  }
}

/** Half a layer is of no use: the next try does not go on with it. Undo never hides the first error. */
async function discard(host: DiffHost, upload: ContentUpload, ref: string, call: ServiceCall): Promise<void> {
  await upload[Symbol.asyncDispose]();
  await Promise.resolve(host.content.abort({ ref }, call)).catch(() => {});
}

/** A blob that is there already only lacks the label. */
async function store(
  host: DiffHost,
  upload: ContentUpload,
  { digest, diffId }: DiffResult,
  labels: Readonly<Record<string, string>>,
  call: ServiceCall,
): Promise<void> {
  try {
    await upload.commit(digest, { ...labels, [UNCOMPRESSED_LABEL]: diffId });
  } catch (error) {
    if (!hasCode(error, Code.AlreadyExists)) throw error;
    const info = {
      digest,
      size: 0n,
      createdAt: undefined,
      updatedAt: undefined,
      labels: { [UNCOMPRESSED_LABEL]: diffId },
    };
    await host.content.update({ info, updateMask: { paths: [`labels.${UNCOMPRESSED_LABEL}`] } }, call);
  }
}

/** What is wrong with a layer or with the disk is Unknown, as containerd says; a full disk has a code of its own. */
function toLayerStatus(what: string, error: unknown): unknown {
  if (error instanceof StatusError) return error;
  const isKnown = error instanceof LayerError || error instanceof TarError || error instanceof LayerSystemError;
  if (!isKnown) return error;
  const isFull = ["ENOSPC", "EDQUOT"].includes(errnoOf(error) ?? "");
  return new ManagerError(isFull ? Code.ResourceExhausted : Code.Unknown, `${what}: ${messageOf(error)}`, {
    cause: error,
  });
}
