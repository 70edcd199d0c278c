import { containerd, grpc, trimaran } from "./gen/codec.js";

/** The task service as containerd 1.6 and later call it. */
export const taskV2 = containerd.task.v2.Task;
/** The same methods and messages under the name that containerd 2.x prefers. */
export const taskV3 = containerd.task.v3.Task;
/** Pods that the shim keeps itself. */
export const sandboxV1 = containerd.runtime.sandbox.v1.Sandbox;
/** Where a shim sends its events. */
export const ttrpcEvents = containerd.services.events.ttrpc.v1.Events;
/** Streams of messages under a name: container stdio over ttrpc, archives and progress over gRPC. */
export const streamingV1 = containerd.services.streaming.v1.Streaming;

/** What the manager is. */
export const versionV1 = containerd.services.version.v1.Version;
/** What the manager is made of. */
export const introspectionV1 = containerd.services.introspection.v1.Introspection;
/** Worlds of names. */
export const namespacesV1 = containerd.services.namespaces.v1.Namespaces;
/** What tasks are made from. */
export const containersV1 = containerd.services.containers.v1.Containers;
/** Names for blobs. */
export const imagesV1 = containerd.services.images.v1.Images;
/** Blobs. */
export const contentV1 = containerd.services.content.v1.Content;
/** Layers on disk. */
export const snapshotsV1 = containerd.services.snapshots.v1.Snapshots;
/** From a blob to a layer on disk, and back. */
export const diffV1 = containerd.services.diff.v1.Diff;
/** What runs, for the manager's clients; taskV2 is the shims' side. */
export const tasksV1 = containerd.services.tasks.v1.Tasks;
/** What is not to be collected yet. */
export const leasesV1 = containerd.services.leases.v1.Leases;
/** Events for the manager's clients; ttrpcEvents is the shims' side. */
export const eventsV1 = containerd.services.events.v1.Events;
/** Images in and out, by the manager itself. */
export const transferV1 = containerd.services.transfer.v1.Transfer;
/** Records of pods. */
export const sandboxStoreV1 = containerd.services.sandbox.v1.Store;
/** Pods, for the manager's clients; sandboxV1 is the shims' side. */
export const sandboxControllerV1 = containerd.services.sandbox.v1.Controller;
/** Whether the server serves. */
export const healthV1 = grpc.health.v1.Health;

/** The agent in a Kata guest. */
export const agentV1 = trimaran.agent.v1.Agent;
