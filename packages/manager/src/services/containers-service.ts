import { containerd, type containersV1, encoded, type Init, toTimestamp } from "@trimaran/proto";
import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { requireNamespace, type ServiceCall } from "../grpc/service-call.ts";
import { type ContainerRecord, ContainerRecords } from "../metadata/containers.ts";
import { parseFilters } from "../metadata/filters.ts";
import { parseLabels } from "../metadata/labels.ts";
import { updateContainer } from "./container-update.ts";
import { publishEvent } from "./publish-event.ts";
import type { RecordsHost } from "./records-host.ts";

const { ContainerCreate, ContainerDelete, ContainerUpdate } = containerd.events;

/** containerd.services.containers.v1.Containers: records only. Whether image, snapshot or task exist is the client's affair. */
export function containersService(host: RecordsHost): Implementation<typeof containersV1> {
  const records = new ContainerRecords(host.database);
  const list = (filters: readonly string[], call: ServiceCall): Init<ContainerRecord>[] => {
    const namespace = requireNamespace(call);
    if (filters.length === 0) return records.listEncoded(namespace).map(encoded<ContainerRecord>);
    const matches = parseFilters(filters);
    return records.list(namespace).filter((container) => matches(containerFields(container)));
  };
  return {
    get: ({ id }, call) => ({ container: records.get(requireNamespace(call), id) }),
    list: ({ filters }, call) => ({ containers: list(filters, call) }),
    async *listStream({ filters }, call) {
      for (const container of list(filters, call)) yield { container };
    },
    create({ container: given }, call) {
      const namespace = requireNamespace(call);
      const now = toTimestamp(host.nowNs());
      const container = parseContainer({ ...requirePresent(given), createdAt: now, updatedAt: now });
      records.create(namespace, container);
      const { id, image, runtime } = container;
      publishEvent(host, namespace, "/containers/create", ContainerCreate, { id, image, runtime });
      host.collection.changed();
      return { container };
    },
    update({ container: given, updateMask }, call) {
      const namespace = requireNamespace(call);
      const wanted = requirePresent(given);
      if (wanted.id === "") throw new ManagerError(Code.InvalidArgument, "container.id: is empty");
      const container = host.database.transaction((): ContainerRecord => {
        const after = updateContainer(records.get(namespace, wanted.id), wanted, updateMask);
        const checked = parseContainer({ ...after, updatedAt: toTimestamp(host.nowNs()) });
        records.replace(namespace, checked);
        return checked;
      });
      const { id, image, labels, snapshotKey } = container;
      publishEvent(host, namespace, "/containers/update", ContainerUpdate, { id, image, labels, snapshotKey });
      host.collection.changed();
      return { container };
    },
    delete({ id }, call) {
      const namespace = requireNamespace(call);
      records.delete(namespace, id);
      publishEvent(host, namespace, "/containers/delete", ContainerDelete, { id });
      host.collection.deleted();
      return {};
    },
  };
}

function requirePresent(container: ContainerRecord | undefined): ContainerRecord {
  if (container !== undefined) return container;
  throw new ManagerError(Code.InvalidArgument, "container: is missing");
}

/** What may be stored. Throws InvalidArgument. */
function parseContainer(container: ContainerRecord): ContainerRecord {
  parseIdentifier("container.id", container.id);
  const broken = [
    [(container.runtime?.name ?? "") === "", "runtime.name: is empty"],
    [container.spec === undefined, "spec: is missing"],
    [
      container.snapshotKey !== "" && container.snapshotter === "",
      "snapshotter: is empty, but there is a snapshot_key",
    ],
    [Object.hasOwn(container.extensions, ""), "extensions: a key is empty"],
  ] as const;
  const [, problem] = broken.find(([isBroken]) => isBroken) ?? [];
  if (problem !== undefined) throw new ManagerError(Code.InvalidArgument, `container.${problem}`);
  return { ...container, labels: { ...parseLabels("container.labels", container.labels) } };
}

function containerFields({ id, image, runtime, labels }: ContainerRecord) {
  return { id, image, runtime: { name: runtime?.name }, labels };
}
