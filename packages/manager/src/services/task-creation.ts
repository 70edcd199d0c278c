import type { containerd, google } from "@trimaran/proto";
import { bundleAt } from "../bundles/bundle.ts";
import type { Directories } from "../bundles/directories.ts";
import { type Identifier, parseIdentifier } from "../bundles/identifier.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { requireNamespace, type ServiceCall } from "../grpc/service-call.ts";
import type { SandboxRecords } from "../metadata/sandboxes.ts";
import type { SandboxRegistry } from "../sandboxes/sandbox-registry.ts";
import type { LogSink } from "../shims/shim-log.ts";
import type { SharedShim } from "../tasks/create-task.ts";
import { namingStep } from "../tasks/step-error.ts";
import type { TaskRegistry } from "../tasks/task-registry.ts";
import { type Checkpoints, isCheckpoint } from "./checkpoints.ts";

/** What a task is made from. */
export interface TaskContainer {
  readonly runtime: { readonly name: string; readonly options?: google.protobuf.Any | undefined } | undefined;
  readonly spec: google.protobuf.Any | undefined;
  /** Id of the sandbox that the task is to be in, or "". */
  readonly sandbox?: string;
}

/** What the tasks service stands on. */
export interface TasksHost {
  readonly dirs: Directories;
  readonly registry: TaskRegistry;
  readonly containers: {
    /** Throws NotFound. */
    get(namespace: Identifier, id: string): TaskContainer;
  };
  readonly sandboxRecords: Pick<SandboxRecords, "find">;
  readonly sandboxes: Pick<SandboxRegistry, "sharedShim">;
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
  const { checkpoint } = request;
  const task = {
    bundle,
    runtime,
    configJson: spec.value,
    rootfs: request.rootfs,
    io: { terminal, stdin, stdout, stderr },
    options: request.options ?? container.runtime?.options,
    checkpoint:
      checkpoint && isCheckpoint(checkpoint)
        ? (directory: string) => host.checkpoints.restore(checkpoint, directory, call)
        : undefined,
    sandbox: await sandboxShim(host, namespace, container.sandbox ?? ""),
    log: host.logOf(namespace, containerId),
    signal: call.signal,
  };
  return { containerId, pid: await namingStep(() => host.registry.create(task)) };
}

/**
 * The shim of the sandbox that a container names, if tasks can join it: one of version 3. An older shim groups by annotations, and
 * is started for each task. A sandbox that is on no record is of no effect, as with containerd. Throws NotFound if it does not run.
 */
async function sandboxShim(host: TasksHost, namespace: Identifier, id: string): Promise<SharedShim | undefined> {
  if (id === "" || host.sandboxRecords.find(namespace, id) === undefined) return undefined;
  const shim = await host.sandboxes.sharedShim(namespace, parseIdentifier("sandbox", id));
  if (shim === undefined) {
    throw new ManagerError(Code.NotFound, `failed to start shim: can't find shim for sandbox ${id}`);
  }
  return shim.endpoint.version === 3 ? shim : undefined;
}

/** A container's spec. Throws InvalidArgument if it was made without one. */
export function requireSpec(id: string, { spec }: TaskContainer): google.protobuf.Any {
  if (spec === undefined) throw missing(id, "spec");
  return spec;
}

function missing(id: string, field: string): ManagerError {
  return new ManagerError(Code.InvalidArgument, `container ${JSON.stringify(id)}: ${field} is empty`);
}
