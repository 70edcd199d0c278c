import { containerd, type contentV1, toTimestamp } from "@trimaran/proto";
import { parseDigest } from "../content/digest.ts";
import { storageStep } from "../content/storage-error.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { requireNamespace, type ServiceCall } from "../grpc/service-call.ts";
import type { BlobRecord } from "../metadata/blobs.ts";
import { parseFilters } from "../metadata/filters.ts";
import type { ContentHost } from "./content-host.ts";
import { abortIngest, ingestStatus, ingestStatuses, requireIngest } from "./content-ingests.ts";
import { writeContent } from "./content-write.ts";
import { publishEvent } from "./publish-event.ts";

const LIST_BATCH = 100;

/** containerd.services.content.v1.Content: bytes are shared, records are per namespace. */
export function contentService(host: ContentHost): Implementation<typeof contentV1> {
  const { catalog } = host;
  return {
    info({ digest }, call) {
      return { info: toInfo(catalog.blobs.get(requireNamespace(call), parseDigest("digest", digest))) };
    },
    update({ info, updateMask }, call) {
      const namespace = requireNamespace(call);
      const digest = parseDigest("info.digest", info?.digest ?? "");
      catalog.updateLabels(namespace, digest, info?.labels ?? {}, updateMask);
      host.collection.changed();
      return { info: toInfo(catalog.blobs.get(namespace, digest)) };
    },
    async *list({ filters }, call) {
      const matches = parseFilters(filters);
      const records = catalog.blobs.list(requireNamespace(call)).filter((record) => matches(contentFields(record)));
      for (let start = 0; start < records.length; start += LIST_BATCH) {
        yield { info: records.slice(start, start + LIST_BATCH).map(toInfo) };
      }
    },
    delete({ digest: text }, call) {
      const namespace = requireNamespace(call);
      const digest = parseDigest("digest", text);
      catalog.removeBlob(namespace, digest);
      publishEvent(host, namespace, "/content/delete", containerd.events.ContentDelete, { digest });
      host.collection.deleted();
      return {};
    },
    read: (request, call) => readContent(host, request, call),
    async status({ ref }, call) {
      return { status: await ingestStatus(host, requireNamespace(call), ref) };
    },
    async listStatuses({ filters }, call) {
      const matches = parseFilters(filters);
      const records = catalog.ingests.list(requireNamespace(call)).filter(({ ref }) => matches({ ref }));
      return { statuses: await ingestStatuses(host, records) };
    },
    write: (requests, call) => writeContent(host, requests, call),
    async abort({ ref }, call) {
      const namespace = requireNamespace(call);
      await abortIngest(host, namespace, requireIngest(host, namespace, ref));
      return {};
    },
  };
}

/** Chunks of at most 1 MiB. The offset in an answer counts from the beginning of this read. */
async function* readContent(
  { catalog, files }: ContentHost,
  { digest: text, offset, size }: containerd.services.content.v1.ReadContentRequest,
  call: ServiceCall,
) {
  const digest = parseDigest("digest", text);
  catalog.blobs.get(requireNamespace(call), digest);
  await using blob = await storageStep(`content ${digest}`, () => files.blobs.open(digest));
  if (offset < 0n || offset > BigInt(blob.sizeBytes)) {
    throw new ManagerError(Code.OutOfRange, `offset ${offset}: content ${digest} has ${blob.sizeBytes} bytes`);
  }
  const rest = BigInt(blob.sizeBytes) - offset;
  let sent = 0n;
  for await (const data of blob.chunks(Number(offset), Number(size <= 0n || size > rest ? rest : size))) {
    yield { offset: sent, data };
    sent += BigInt(data.length);
  }
}

function contentFields({ digest, labels }: BlobRecord) {
  return { digest, labels };
}

function toInfo({ digest, sizeBytes, createdAtNs, updatedAtNs, labels }: BlobRecord) {
  return {
    digest,
    size: BigInt(sizeBytes),
    createdAt: toTimestamp(createdAtNs),
    updatedAt: toTimestamp(updatedAtNs),
    labels,
  };
}
