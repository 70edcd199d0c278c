import { containerd, type namespacesV1 } from "@trimaran/proto";
import { parseIdentifier } from "../bundles/identifier.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { applyMapPaths, parseMask } from "../metadata/field-mask.ts";
import { type Labels, parseLabels } from "../metadata/labels.ts";
import { NamespaceRecords } from "../metadata/namespaces.ts";
import { publishEvent } from "./publish-event.ts";
import type { RecordsHost } from "./records-host.ts";

const { NamespaceCreate, NamespaceDelete, NamespaceUpdate } = containerd.events;

/**
 * containerd.services.namespaces.v1.Namespaces. Namespaces come into being with the first object in them: getting an unknown one
 * is no error, and updating it creates it. The call's own namespace is of no interest.
 */
export function namespacesService(host: RecordsHost): Implementation<typeof namespacesV1> {
  const records = new NamespaceRecords(host.database);
  return {
    get: ({ name }) => ({ namespace: records.get(name) ?? { name, labels: {} } }),
    list: () => ({ namespaces: records.list() }),
    create({ namespace }) {
      const name = parseIdentifier("namespace.name", namespace?.name ?? "");
      const labels = parseLabels("namespace.labels", namespace?.labels ?? {});
      records.create({ name, labels });
      publishEvent(host, name, "/namespaces/create", NamespaceCreate, { name, labels });
      return { namespace: { name, labels } };
    },
    update({ namespace, updateMask }) {
      const name = parseIdentifier("namespace.name", namespace?.name ?? "");
      const paths = parseMask(updateMask, { fields: [], maps: ["labels"] });
      const labels = host.database.transaction((): Labels => {
        const before = records.get(name)?.labels ?? {};
        const after = parseLabels("namespace.labels", applyMapPaths(before, namespace?.labels ?? {}, paths));
        records.put({ name, labels: after });
        return after;
      });
      publishEvent(host, name, "/namespaces/update", NamespaceUpdate, { name, labels });
      return {};
    },
    delete({ name }) {
      records.delete(name);
      publishEvent(host, name, "/namespaces/delete", NamespaceDelete, { name });
      return {};
    },
  };
}
