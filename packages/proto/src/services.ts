import { containerd } from "./gen/codec.js";

/** The task service as containerd 1.6 and later call it. */
export const taskV2 = containerd.task.v2.Task;
/** The same methods and messages under the name that containerd 2.x prefers. */
export const taskV3 = containerd.task.v3.Task;
/** Pods that the shim keeps itself. */
export const sandboxV1 = containerd.runtime.sandbox.v1.Sandbox;
/** Where a shim sends its events. */
export const ttrpcEvents = containerd.services.events.ttrpc.v1.Events;
/** Container stdio over ttrpc. */
export const streamingV1 = containerd.services.streaming.v1.Streaming;
