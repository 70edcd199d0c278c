import {
  containersV1,
  contentV1,
  diffV1,
  eventsV1,
  healthV1,
  imagesV1,
  introspectionV1,
  leasesV1,
  namespacesV1,
  sandboxControllerV1,
  sandboxStoreV1,
  snapshotsV1,
  streamingV1,
  tasksV1,
  transferV1,
  versionV1,
} from "@trimaran/proto";
import type { Implementation } from "./implementation.ts";
import type { ServiceClient } from "./service-client.ts";

/** Every service of the manager, by the name that our own code calls it. */
export const SERVICE_TABLES = {
  containers: containersV1,
  content: contentV1,
  diff: diffV1,
  events: eventsV1,
  health: healthV1,
  images: imagesV1,
  introspection: introspectionV1,
  leases: leasesV1,
  namespaces: namespacesV1,
  sandboxController: sandboxControllerV1,
  sandboxStore: sandboxStoreV1,
  snapshots: snapshotsV1,
  streaming: streamingV1,
  tasks: tasksV1,
  transfer: transferV1,
  version: versionV1,
} as const;

/** Names of the services. */
export type ServiceName = keyof typeof SERVICE_TABLES;

/** What the manager serves. */
export type Implementations = { readonly [Name in ServiceName]: Implementation<(typeof SERVICE_TABLES)[Name]> };

/** The manager as its client sees it, over the socket or within the process. */
export type Services = { readonly [Name in ServiceName]: ServiceClient<(typeof SERVICE_TABLES)[Name]> };
