import { rm } from "node:fs/promises";
import { GO_ZERO_TIME, type tasksV1, toTimestamp } from "@trimaran/proto";
import { parseIdentifier } from "../bundles/identifier.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { requireNamespace, type ServiceCall } from "../grpc/service-call.ts";
import { checkpointDirectory } from "../tasks/create-task.ts";
import { namingStep } from "../tasks/step-error.ts";
import { taskMetrics } from "../tasks/task-metrics.ts";
import { taskProcess } from "../tasks/task-process.ts";
import type { RunningTask } from "../tasks/task-registry.ts";
import { isCheckpoint } from "./checkpoints.ts";
import { createContainerTask, requireSpec, type TasksHost } from "./task-creation.ts";

/**
 * containerd.services.tasks.v1.Tasks. Nearly all is the shim's work: requests go to it as they are, its codes and texts come back
 * as they are, and every event is its own. An unknown container or a container without a task is NotFound.
 */
export function tasksService(host: TasksHost): Implementation<typeof tasksV1> {
  const find = (id: string, call: ServiceCall): RunningTask => {
    const namespace = requireNamespace(call);
    host.containers.get(namespace, id); // containerd names what is missing: the container, or only its task
    const task = host.registry.find(namespace, id);
    if (task === undefined) throw new ManagerError(Code.NotFound, `task ${id} not found`);
    return task;
  };
  const shimOf = (id: string, call: ServiceCall) => find(id, call).connection.task;
  const restoring = new Set<string>(); // bundles whose Start will read a checkpoint; after a restart it goes with the bundle
  return {
    async create(request, call) {
      const made = await createContainerTask(host, request, call);
      if (request.checkpoint && isCheckpoint(request.checkpoint))
        restoring.add(find(request.containerId, call).bundle.path);
      return made;
    },
    async start({ containerId: id, execId }, call) {
      const { bundle, connection } = find(id, call);
      const { pid } = await connection.task.start({ id, execId }, limits(call));
      if (restoring.delete(bundle.path)) await rm(checkpointDirectory(bundle), { recursive: true, force: true });
      return { pid };
    },
    async delete({ containerId: id }, call) {
      const { bundle } = find(id, call);
      const { pid, status, exitedAtNs } = await namingStep(() => host.registry.delete(bundle.namespace, id));
      return { id, pid, exitStatus: status, exitedAt: toTimestamp(exitedAtNs) };
    },
    async deleteProcess({ containerId: id, execId }, call) {
      parseIdentifier("exec_id", execId);
      const { pid, exitStatus, exitedAt } = await shimOf(id, call).delete({ id, execId }, limits(call));
      return { id: execId, pid, exitStatus, exitedAt: exitedAt ?? NOT_YET };
    },
    async get({ containerId: id, execId }, call) {
      return { process: await taskProcess(find(id, call), execId) };
    },
    async list(_request, call) {
      const tasks = host.registry.list(requireNamespace(call));
      const processes = await Promise.all(tasks.map((task) => taskProcess(task, "").catch(() => undefined)));
      return { tasks: processes.filter((process) => process !== undefined) };
    },
    kill({ containerId: id, execId, signal, all }, call) {
      return shimOf(id, call).kill({ id, execId, signal, all: all && execId === "" }, limits(call));
    },
    exec({ containerId: id, execId, stdin, stdout, stderr, terminal, spec }, call) {
      parseIdentifier("exec_id", execId);
      return shimOf(id, call).exec({ id, execId, stdin, stdout, stderr, terminal, spec }, limits(call));
    },
    resizePty({ containerId: id, execId, width, height }, call) {
      return shimOf(id, call).resizePty({ id, execId, width, height }, limits(call));
    },
    async closeIO({ containerId: id, execId, stdin }, call) {
      const shim = shimOf(id, call);
      if (stdin) await shim.closeIO({ id, execId, stdin }, limits(call));
      return {};
    },
    pause: ({ containerId: id }, call) => shimOf(id, call).pause({ id }, limits(call)),
    resume: ({ containerId: id }, call) => shimOf(id, call).resume({ id }, limits(call)),
    listPids: ({ containerId: id }, call) => shimOf(id, call).pids({ id }, limits(call)),
    update({ containerId: id, resources, annotations }, call) {
      return shimOf(id, call).update({ id, resources, annotations }, limits(call));
    },
    async metrics({ filters }, call) {
      const metrics = await taskMetrics(host.registry.list(requireNamespace(call)), filters);
      return { metrics };
    },
    async wait({ containerId: id, execId }, call) {
      const { exitStatus, exitedAt } = await shimOf(id, call).wait({ id, execId }, limits(call));
      return { exitStatus, exitedAt: exitedAt ?? NOT_YET };
    },
    async checkpoint({ containerId: id, options }, call) {
      const task = find(id, call);
      const spec = requireSpec(id, host.containers.get(requireNamespace(call), id));
      return { descriptors: await host.checkpoints.take(task, spec, options, call) };
    },
  };
}

const NOT_YET = toTimestamp(GO_ZERO_TIME);

/** ttrpc has no cancel frame: a client that gives up frees the call here, the shim goes on. */
function limits(call: ServiceCall) {
  return { signal: call.signal };
}
