import { randomBytes } from "node:crypto";
import { type containerd, type leasesV1, toTimestamp } from "@trimaran/proto";
import { parseDigest } from "../content/digest.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { requireNamespace } from "../grpc/service-call.ts";
import { parseFilters } from "../metadata/filters.ts";
import { parseLabels } from "../metadata/labels.ts";
import { type LeaseRecord, LeaseRecords, type LeaseResource } from "../metadata/leases.ts";
import type { RecordsHost } from "./records-host.ts";

type Resource = containerd.services.leases.v1.Resource;

/** containerd.services.leases.v1.Leases. Leases publish no events. */
export function leasesService(host: RecordsHost): Implementation<typeof leasesV1> {
  const records = new LeaseRecords(host.database);
  return {
    create({ id, labels }, call) {
      const namespace = requireNamespace(call);
      const createdAtNs = host.nowNs();
      const lease = { id: id || generateId(createdAtNs), labels: parseLabels("labels", labels), createdAtNs };
      records.create(namespace, lease);
      host.collection.changed();
      return { lease: toLease(lease) };
    },
    async delete({ id, sync }, call) {
      records.delete(requireNamespace(call), id);
      if (sync) await host.collection.collect();
      else host.collection.deleted();
      return {};
    },
    list({ filters }, call) {
      const matches = parseFilters(filters);
      const found = records.list(requireNamespace(call)).filter(({ id, labels }) => matches({ id, labels }));
      return { leases: found.map(toLease) };
    },
    addResource({ id, resource }, call) {
      records.addResource(requireNamespace(call), id, parseResource(resource));
      host.collection.changed();
      return {};
    },
    deleteResource({ id, resource }, call) {
      records.deleteResource(requireNamespace(call), id, parseResource(resource));
      host.collection.deleted();
      return {};
    },
    listResources: ({ id }, call) => ({ resources: records.resources(requireNamespace(call), id) }),
  };
}

/** `<nanoseconds>-<4 characters>`, as containerd's clients make them. */
function generateId(nowNs: bigint): string {
  return `${nowNs % 1_000_000_000n}-${randomBytes(3).toString("base64url")}`;
}

function parseResource(resource: Resource | undefined): LeaseResource {
  const { type = "", id = "" } = resource ?? {};
  if (id === "") throw new ManagerError(Code.InvalidArgument, "resource.id: is empty");
  if (type === "content") return { type, id: parseDigest("resource.id", id) };
  if (type === "ingests" || type === "images" || /^snapshots\/[^/]+$/.test(type)) return { type, id };
  throw new ManagerError(Code.Unimplemented, `resource.type ${JSON.stringify(type)}: leases cannot hold it`);
}

function toLease({ id, labels, createdAtNs }: LeaseRecord) {
  return { id, labels, createdAt: toTimestamp(createdAtNs) };
}
