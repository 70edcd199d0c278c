import type { containerd, google } from "@trimaran/proto";
import { bundleAt } from "../bundles/bundle.ts";
import type { Directories } from "../bundles/directories.ts";
import { type Identifier, parseIdentifier } from "../bundles/identifier.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { requireNamespace, type ServiceCall } from "../grpc/service-call.ts";
import type { LogSink } from "../shims/shim-log.ts";
import { namingStep } from "../tasks/step-error.ts";
import type { TaskRegistry } from "../tasks/task-registry.ts";
import type { Checkpoints } from "./checkpoints.ts";

/** What a task is made from. */
export interface TaskContainer {
  readonly runtime: { readonly name: string; readonly options?: google.protobuf.Any | undefined } | undefined;
  readonly spec: google.protobuf.Any | undefined;
}

/** What the tasks service stands on. */
export interface TasksHost {
  readonly dirs: Directories;
  readonly registry: TaskRegistry;
  readonly containers: {
    /** Throws NotFound. */
    get(namespace: Identifier, id: string): TaskContainer;
  };
  readonly checkpoints: Pick<Checkpoints, "take" | "restore">;
  /** Where the shim's log goes. */
  logOf(namespace: string, id: string): LogSink;
}

type CreateRequest = containerd.services.tasks.v1.CreateTaskRequest;

/** Tasks.Create: a shim by the container's runtime, or `runtime_path`; the request's options replace the container's. */
export async function createContainerTask(host: TasksHost, request: CreateRequest, call: ServiceCall) {
  const namespace = requireNamespace(call);
  const { containerId, stdin, stdout, stderr, terminal } = request;
  const container = host.containers.get(namespace, containerId);
  const bundle = bundleAt(host.dirs, namespace, parseIdentifier("container_id", containerId));
  const spec = requireSpec(containerId, container);
  const runtime = request.runtimePath || container.runtime?.name;
  if (runtime === undefined || runtime === "") throw missing(containerId, "runtime.name");
  await using checkpoint = await host.checkpoints.restore(request.checkpoint, call);
  const task = {
    bundle,
    runtime,
    configJson: spec.value,
    rootfs: request.rootfs,
    io: { terminal, stdin, stdout, stderr },
    options: request.options ?? container.runtime?.options,
    checkpoint: checkpoint?.path,
    log: host.logOf(namespace, containerId),
    signal: call.signal,
  };
  return { containerId, pid: await namingStep(() => host.registry.create(task)) };
}

/** A container's spec. Throws InvalidArgument if it was made without one. */
export function requireSpec(id: string, { spec }: TaskContainer): google.protobuf.Any {
  if (spec === undefined) throw missing(id, "spec");
  return spec;
}

function missing(id: string, field: string): ManagerError {
  return new ManagerError(Code.InvalidArgument, `container ${JSON.stringify(id)}: ${field} is empty`);
}
