import { type sandboxStoreV1, toTimestamp } from "@trimaran/proto";
import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { requireNamespace } from "../grpc/service-call.ts";
import { parseFilters } from "../metadata/filters.ts";
import { parseLabels } from "../metadata/labels.ts";
import { type SandboxRecord, SandboxRecords } from "../metadata/sandboxes.ts";
import type { RecordsHost } from "./records-host.ts";
import { updateSandbox } from "./sandbox-update.ts";

/** containerd.services.sandbox.v1.Store: records only, without events. Whether a sandbox runs is the controller's affair. */
export function sandboxStoreService(host: RecordsHost): Implementation<typeof sandboxStoreV1> {
  const records = new SandboxRecords(host.database);
  return {
    create({ sandbox: given }, call) {
      const namespace = requireNamespace(call);
      const now = toTimestamp(host.nowNs());
      const sandbox = parseSandbox({ ...requirePresent(given), createdAt: now, updatedAt: now });
      records.create(namespace, sandbox);
      host.collection.changed();
      return { sandbox };
    },
    update({ sandbox: given, fields }, call) {
      const namespace = requireNamespace(call);
      const wanted = requirePresent(given);
      const sandbox = host.database.transaction((): SandboxRecord => {
        const after = updateSandbox(records.get(namespace, wanted.sandboxId), wanted, fields);
        const checked = parseSandbox({ ...after, updatedAt: toTimestamp(host.nowNs()) });
        records.replace(namespace, checked);
        return checked;
      });
      host.collection.changed();
      return { sandbox };
    },
    delete({ sandboxId }, call) {
      records.delete(requireNamespace(call), sandboxId);
      host.collection.deleted();
      return {};
    },
    list({ filters }, call) {
      const namespace = requireNamespace(call);
      const matches = parseFilters(filters);
      return { list: records.list(namespace).filter(({ sandboxId: id, labels }) => matches({ id, labels })) };
    },
    get: ({ sandboxId }, call) => ({ sandbox: records.get(requireNamespace(call), sandboxId) }),
  };
}

function requirePresent(sandbox: SandboxRecord | undefined): SandboxRecord {
  if (sandbox !== undefined) return sandbox;
  throw new ManagerError(Code.InvalidArgument, "sandbox: is missing");
}

/** What may be stored. Throws InvalidArgument. */
function parseSandbox(sandbox: SandboxRecord): SandboxRecord {
  parseIdentifier("sandbox.sandbox_id", sandbox.sandboxId);
  if (Object.hasOwn(sandbox.extensions, "")) {
    throw new ManagerError(Code.InvalidArgument, "sandbox.extensions: a key is empty");
  }
  return { ...sandbox, labels: { ...parseLabels("sandbox.labels", sandbox.labels) } };
}
