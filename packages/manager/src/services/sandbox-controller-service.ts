import { type containerd, GO_ZERO_TIME, type sandboxControllerV1, toTimestamp } from "@trimaran/proto";
import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, hasCode, ManagerError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { requireNamespace, type ServiceCall } from "../grpc/service-call.ts";
import { type SandboxRecord, SandboxRecords, sandboxNotFound } from "../metadata/sandboxes.ts";
import { createSandbox, naming, startSandbox } from "../sandboxes/run-sandbox.ts";
import type { RunningSandbox, SandboxRegistry } from "../sandboxes/sandbox-registry.ts";
import type { TaskRegistry } from "../tasks/task-registry.ts";
import type { RecordsHost } from "./records-host.ts";
import type { SandboxEvents } from "./sandbox-events.ts";

/** What the controller stands on. */
export interface SandboxHost extends Pick<RecordsHost, "database" | "nowNs"> {
  readonly sandboxes: SandboxRegistry;
  readonly sandboxEvents: SandboxEvents;
  readonly tasks: Pick<TaskRegistry, "endSandbox">;
}

type CreateRequest = containerd.services.sandbox.v1.ControllerCreateRequest;

/** The one kind of sandbox that there is: its shim keeps it. */
const SHIM = "shim";

/**
 * containerd.services.sandbox.v1.Controller: requests go to the sandbox's shim as they are, its codes come back. An empty sandboxer
 * means `shim`, and Start makes what was not created but is on record: `ctr` 2.1 sends neither, and fails with its own daemon.
 * What is on record but does not run can be stopped and shut down.
 */
export function sandboxControllerService(host: SandboxHost): Implementation<typeof sandboxControllerV1> {
  const records = new SandboxRecords(host.database);
  const events = host.sandboxEvents;
  const place = (
    { sandboxId, sandboxer }: { readonly sandboxId: string; readonly sandboxer: string },
    call: ServiceCall,
  ) => {
    const namespace = requireNamespace(call);
    if (sandboxer !== "" && sandboxer !== SHIM) {
      throw new ManagerError(Code.NotFound, `sandboxer ${JSON.stringify(sandboxer)}: there is only "${SHIM}"`);
    }
    return { namespace, id: parseIdentifier("sandbox_id", sandboxId) };
  };
  const create = async (request: CreateRequest, record: SandboxRecord | undefined, call: ServiceCall) => {
    const { namespace, id } = place(request, call);
    await createSandbox(host.sandboxes, { namespace, id, request, record, signal: call.signal });
    events.created(namespace, id);
  };
  /** Throws NotFound, unless it is on record: undefined then. */
  const find = async (request: Parameters<typeof place>[0], call: ServiceCall) => {
    const { namespace, id } = place(request, call);
    const running = await host.sandboxes.find(namespace, id);
    if (running === undefined && records.find(namespace, id) === undefined) throw sandboxNotFound(namespace, id);
    return running;
  };
  const require = async (request: Parameters<typeof place>[0], call: ServiceCall): Promise<RunningSandbox> => {
    const running = await find(request, call);
    if (running !== undefined) return running;
    throw new ManagerError(Code.NotFound, `sandbox ${request.sandboxId}: does not run`);
  };
  return {
    async create(request, call) {
      await create(request, request.sandbox, call);
      return { sandboxId: request.sandboxId };
    },
    async start(request, call) {
      const { namespace, id } = place(request, call);
      if ((await find(request, call)) === undefined) {
        const { sandboxer } = request;
        const wanted = { sandboxId: id, sandboxer, rootfs: [], options: undefined, netnsPath: "", annotations: {} };
        const record = records.get(namespace, id);
        await create({ ...wanted, sandbox: record }, record, call);
      }
      const running = await require(request, call);
      const started = await startSandbox(host.sandboxes, running, call.signal);
      events.started(namespace, id);
      const { pid, createdAt } = started;
      return { sandboxId: id, pid, createdAt, labels: {}, ...endpointOf(running) };
    },
    async platform(request, call) {
      const { connection } = await require(request, call);
      return connection.sandbox.platform({ sandboxId: request.sandboxId }, limits(call));
    },
    async stop(request, call) {
      const running = await find(request, call);
      if (running === undefined) return {};
      const { sandboxId, timeoutSecs } = request;
      const stopped = running.connection.sandbox.stopSandbox({ sandboxId, timeoutSecs }, limits(call));
      await naming("stop sandbox", stopped).catch((error: unknown) => {
        if (!isGone(error)) throw error;
      });
      return {};
    },
    async wait(request, call) {
      const { connection, bundle } = await require(request, call);
      const waited = connection.sandbox.waitSandbox({ sandboxId: request.sandboxId }, limits(call));
      const { exitStatus, exitedAt = NEVER } = await naming(`wait sandbox ${request.sandboxId}`, waited);
      events.exited(bundle, { exitStatus, exitedAt });
      return { exitStatus, exitedAt };
    },
    async status(request, call) {
      const { sandboxId, verbose } = request;
      const running = await find(request, call);
      if (running === undefined) return { sandboxId, createdAt: NEVER, exitedAt: toTimestamp(host.nowNs()) };
      const asked = running.connection.sandbox.sandboxStatus({ sandboxId, verbose }, limits(call));
      const status = await naming(`query sandbox ${sandboxId} status`, asked);
      return { ...status, sandboxId, ...endpointOf(running) };
    },
    async shutdown(request, call) {
      const running = await find(request, call);
      if (running === undefined) return {};
      const { namespace, id } = running.bundle;
      const { sandbox } = running.connection;
      await host.tasks.endSandbox(namespace, id, async () => {
        await naming("shutdown sandbox", sandbox.shutdownSandbox({ sandboxId: id }, limits(call)));
      });
      await host.sandboxes.remove(running);
      events.forgotten(namespace, id);
      return {};
    },
    async metrics(request, call) {
      const { connection } = await require(request, call);
      return connection.sandbox.sandboxMetrics({ sandboxId: request.sandboxId }, limits(call));
    },
    async update({ sandbox, ...request }, call) {
      if (sandbox === undefined) throw new ManagerError(Code.InvalidArgument, "sandbox: is missing");
      await require(request, call);
      return {}; // the shims' service has no such method: containerd's answer, too
    },
  };
}

const NEVER = toTimestamp(GO_ZERO_TIME);

/** Of the task service inside, for a client that is to dial it. */
function endpointOf({ connection: { endpoint } }: RunningSandbox) {
  return { address: `${endpoint.protocol}+${endpoint.address}`, version: endpoint.version };
}

/** ttrpc has no cancel frame: a client that gives up frees the call here, the shim goes on. */
function limits(call: ServiceCall) {
  return { signal: call.signal };
}

/** Stopping what has gone is success. */
function isGone(error: unknown): boolean {
  return hasCode(error, Code.NotFound) || hasCode(error, Code.Unavailable);
}
