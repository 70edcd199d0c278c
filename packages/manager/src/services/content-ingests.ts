import { type containerd, toTimestamp } from "@trimaran/proto";
import type { IngestStatus } from "../content/ingest-directory.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { IngestRecord } from "../metadata/ingests.ts";
import type { ContentHost } from "./content-host.ts";

type Status = containerd.services.content.v1.Status;

/** Content.Status. Throws NotFound. */
export async function ingestStatus(host: ContentHost, namespace: string, ref: string): Promise<Status> {
  return toStatus(host, requireIngest(host, namespace, ref));
}

/** Content.ListStatuses, in order of refs. */
export async function ingestStatuses(host: ContentHost, records: readonly IngestRecord[]): Promise<Status[]> {
  const statuses: Status[] = [];
  for (const record of records) statuses.push(await toStatus(host, record));
  return statuses;
}

/** Forget an ingest and what was received, from under its writer too. If it is not on record any more nothing happens. */
export async function abortIngest(host: ContentHost, namespace: string, ingest: IngestRecord): Promise<void> {
  if (host.catalog.removeIngest(namespace, ingest)) await host.files.abort(ingest.backendRef);
}

/** What answers say of an ingest. */
export function statusFields({ startedAtNs, updatedAtNs, offsetBytes, totalBytes }: IngestStatus) {
  return {
    startedAt: toTimestamp(startedAtNs),
    updatedAt: toTimestamp(updatedAtNs),
    offset: BigInt(offsetBytes),
    total: BigInt(totalBytes),
  };
}

/** An ingest of which nothing has reached the disk yet may be one that shares a blob's bytes. */
async function toStatus({ files }: ContentHost, record: IngestRecord): Promise<Status> {
  const { ref, backendRef, expected, startedAtNs } = record;
  const sharedBytes = expected === undefined ? undefined : await files.blobs.sizeBytes(expected);
  const status = (await files.ingestStatus(backendRef)) ?? {
    startedAtNs,
    updatedAtNs: startedAtNs,
    offsetBytes: sharedBytes ?? 0,
    totalBytes: sharedBytes ?? 0,
  };
  return { ...statusFields(status), ref, expected: expected ?? "" };
}

/** Throws NotFound. */
export function requireIngest({ catalog }: ContentHost, namespace: string, ref: string): IngestRecord {
  const record = catalog.ingests.find(namespace, ref);
  if (record === undefined) throw new ManagerError(Code.NotFound, `ingest ${JSON.stringify(ref)}: not found`);
  return record;
}
