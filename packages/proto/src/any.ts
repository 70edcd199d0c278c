import type { google } from "./gen/codec.js";

const JSON_PREFIX = "types.containerd.io/opencontainers/runtime-spec/1/";

/** Type names in an Any: message names, and containerd's own names for values that are JSON text. */
export const ANY = {
  ociSpec: `${JSON_PREFIX}Spec`,
  ociProcess: `${JSON_PREFIX}Process`,
  ociLinuxResources: `${JSON_PREFIX}LinuxResources`,
  ociFeatures: `${JSON_PREFIX}features/Features`,
  empty: "google.protobuf.Empty",
  runcOptions: "containerd.runc.v1.Options",
  oldRuncOptions: "containerd.linux.runc.CreateOptions",
  runcCheckpointOptions: "containerd.runc.v1.CheckpointOptions",
  runcProcessDetails: "containerd.runc.v1.ProcessDetails",
  runtimeOptions: "runtimeoptions.v1.Options",
  cgroupV1Metrics: "io.containerd.cgroups.v1.Metrics",
  cgroupV2Metrics: "io.containerd.cgroups.v2.Metrics",
  podSandboxConfig: "runtime.v1.PodSandboxConfig",
  taskCreate: "containerd.events.TaskCreate",
  taskStart: "containerd.events.TaskStart",
  taskExit: "containerd.events.TaskExit",
  taskDelete: "containerd.events.TaskDelete",
  taskExecAdded: "containerd.events.TaskExecAdded",
  taskExecStarted: "containerd.events.TaskExecStarted",
  taskOOM: "containerd.events.TaskOOM",
  taskPaused: "containerd.events.TaskPaused",
  taskResumed: "containerd.events.TaskResumed",
  taskCheckpointed: "containerd.events.TaskCheckpointed",
  namespaceCreate: "containerd.events.NamespaceCreate",
  namespaceUpdate: "containerd.events.NamespaceUpdate",
  namespaceDelete: "containerd.events.NamespaceDelete",
  contentCreate: "containerd.events.ContentCreate",
  contentDelete: "containerd.events.ContentDelete",
  snapshotPrepare: "containerd.events.SnapshotPrepare",
  snapshotCommit: "containerd.events.SnapshotCommit",
  snapshotRemove: "containerd.events.SnapshotRemove",
  containerCreate: "containerd.events.ContainerCreate",
  containerUpdate: "containerd.events.ContainerUpdate",
  containerDelete: "containerd.events.ContainerDelete",
  sandboxCreate: "containerd.events.SandboxCreate",
  sandboxStart: "containerd.events.SandboxStart",
  sandboxExit: "containerd.events.SandboxExit",
  imageCreate: "containerd.services.images.v1.ImageCreate",
  imageUpdate: "containerd.services.images.v1.ImageUpdate",
  imageDelete: "containerd.services.images.v1.ImageDelete",
  streamInit: "containerd.services.streaming.v1.StreamInit",
  transferData: "containerd.types.transfer.Data",
  transferWindowUpdate: "containerd.types.transfer.WindowUpdate",
  transferImageStore: "containerd.types.transfer.ImageStore",
  transferImageImportStream: "containerd.types.transfer.ImageImportStream",
  transferImageExportStream: "containerd.types.transfer.ImageExportStream",
  transferOCIRegistry: "containerd.types.transfer.OCIRegistry",
  transferProgress: "containerd.types.transfer.Progress",
  transferAuthRequest: "containerd.types.transfer.AuthRequest",
  transferAuthResponse: "containerd.types.transfer.AuthResponse",
  runtimeRequest: "containerd.types.RuntimeRequest",
  runtimeInfo: "containerd.types.RuntimeInfo",
} as const;

/** An Any. `typeUrl` is a bare name: containerd 1.6 knows no other form. */
export function packAny(typeUrl: string, bytes: Uint8Array): google.protobuf.Any {
  return { typeUrl, value: bytes };
}

/**
 * The bare type name of an Any, or "" for none. A host part like `type.googleapis.com/` is taken off; the names under
 * `types.containerd.io/` are whole as they are.
 */
export function anyTypeName(any: { readonly typeUrl?: string | undefined } | undefined): string {
  const url = any?.typeUrl ?? "";
  return url.startsWith("types.containerd.io/") ? url : url.slice(url.lastIndexOf("/") + 1);
}

/** Whether an Any holds that type, with or without a host part. */
export function isAnyOf(any: { readonly typeUrl?: string | undefined } | undefined, typeName: string): boolean {
  return anyTypeName(any) === typeName;
}
