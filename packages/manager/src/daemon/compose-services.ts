import type { Directories } from "../bundles/directories.ts";
import { rootLayout } from "../bundles/root-layout.ts";
import { type BoundService, bindService } from "../grpc/bound-service.ts";
import { inProcessServices } from "../grpc/in-process.ts";
import { type Implementations, SERVICE_TABLES, type Services } from "../grpc/services.ts";
import type { Logger } from "../host/logger.ts";
import { DEFAULT_LIMITS } from "../layers/unpack/limits.ts";
import { ContainerRecords } from "../metadata/containers.ts";
import { SandboxRecords } from "../metadata/sandboxes.ts";
import type { SandboxRegistry } from "../sandboxes/sandbox-registry.ts";
import { Checkpoints } from "../services/checkpoints.ts";
import { containersService } from "../services/containers-service.ts";
import { ContentCatalog } from "../services/content-catalog.ts";
import { contentService } from "../services/content-service.ts";
import { diffService } from "../services/diff-service.ts";
import { eventsService } from "../services/events-service.ts";
import { healthService } from "../services/health-service.ts";
import { imagesService } from "../services/images-service.ts";
import { introspectionService } from "../services/introspection-service.ts";
import { leasesService } from "../services/leases-service.ts";
import { namespacesService } from "../services/namespaces-service.ts";
import { managerPlugins } from "../services/plugins.ts";
import { sandboxControllerService } from "../services/sandbox-controller-service.ts";
import type { SandboxEvents } from "../services/sandbox-events.ts";
import { sandboxStoreService } from "../services/sandbox-store-service.ts";
import { snapshotsService } from "../services/snapshots-service.ts";
import { StreamRegistry } from "../services/stream-registry.ts";
import { streamingService } from "../services/streaming.ts";
import { tasksService } from "../services/tasks-service.ts";
import { transferService } from "../services/transfer.ts";
import { versionService } from "../services/version-service.ts";
import { findShimBinary } from "../shims/runtime-binary.ts";
import { readRuntimeInfo } from "../shims/runtime-info.ts";
import type { ShimHost } from "../tasks/task-host.ts";
import type { TaskRegistry } from "../tasks/task-registry.ts";
import { shimLogSink } from "./log-shim.ts";
import type { Stores } from "./open-stores.ts";

/** What the services are made of. */
export interface Parts {
  readonly dirs: Directories;
  readonly stores: Stores;
  readonly shims: ShimHost;
  readonly tasks: TaskRegistry;
  readonly sandboxes: SandboxRegistry;
  readonly sandboxEvents: SandboxEvents;
  readonly version: string;
  /** See `readServerId`. */
  readonly uuid: string;
  readonly log: Logger;
}

/** Every service over the stores and tasks. Some use others, as a client of the call's namespace would. */
export function composeServices(parts: Parts): Implementations {
  const { dirs, stores, shims, tasks, sandboxes, sandboxEvents, version, uuid, log } = parts;
  const streams = new StreamRegistry();
  const catalog = new ContentCatalog(stores.database, stores.nowNs);
  const content = contentService({ ...stores, catalog });
  const services = (namespace: string): Services => inProcessServices(implementations, namespace);
  const leases = leasesService(stores);
  const implementations: Implementations = {
    version: versionService({ version, revision: "" }),
    health: healthService(new Set(Object.values(SERVICE_TABLES).map(({ name }) => name))),
    introspection: introspectionService({
      uuid,
      plugins: managerPlugins({
        snapshotterRoot: rootLayout.snapshots(dirs.root),
        snapshotterCapabilities: [], // no "remap-ids": mounts carry no uidmap, so that any shim can make them
      }),
      runtimeInfo: async (runtime, options, signal) =>
        readRuntimeInfo(
          await findShimBinary(runtime, shims.shimDirectories),
          options,
          shims.parent.environment,
          signal,
        ),
    }),
    namespaces: namespacesService(stores),
    containers: containersService(stores),
    images: imagesService(stores),
    leases: {
      ...leases,
      async delete(request, call) {
        const answer = await leases.delete(request, call);
        streams.closeLease(call.namespace ?? "", request.id);
        return answer;
      },
    },
    events: eventsService(stores),
    sandboxStore: sandboxStoreService(stores),
    sandboxController: sandboxControllerService({ ...stores, sandboxes, sandboxEvents, tasks }),
    content,
    snapshots: snapshotsService(stores),
    diff: diffService({ content, blobs: stores.files.blobs, threads: stores.threads, limits: DEFAULT_LIMITS }),
    streaming: streamingService(streams),
    transfer: transferService({ services, streams, registry: { proxyEnv: shims.parent.environment } }),
    tasks: tasksService({
      dirs,
      registry: tasks,
      containers: new ContainerRecords(stores.database),
      sandboxRecords: new SandboxRecords(stores.database),
      sandboxes,
      checkpoints: new Checkpoints(services, stores.scratch),
      logOf: (namespace, id) => shimLogSink(log, namespace, id),
    }),
  };
  return implementations;
}

/** All of them, tied to their tables. */
export function bindServices(implementations: Implementations): BoundService[] {
  return [
    bindService(SERVICE_TABLES.version, implementations.version),
    bindService(SERVICE_TABLES.health, implementations.health),
    bindService(SERVICE_TABLES.introspection, implementations.introspection),
    bindService(SERVICE_TABLES.namespaces, implementations.namespaces),
    bindService(SERVICE_TABLES.containers, implementations.containers),
    bindService(SERVICE_TABLES.images, implementations.images),
    bindService(SERVICE_TABLES.leases, implementations.leases),
    bindService(SERVICE_TABLES.events, implementations.events),
    bindService(SERVICE_TABLES.sandboxStore, implementations.sandboxStore),
    bindService(SERVICE_TABLES.sandboxController, implementations.sandboxController),
    bindService(SERVICE_TABLES.content, implementations.content),
    bindService(SERVICE_TABLES.snapshots, implementations.snapshots),
    bindService(SERVICE_TABLES.diff, implementations.diff),
    bindService(SERVICE_TABLES.streaming, implementations.streaming),
    bindService(SERVICE_TABLES.transfer, implementations.transfer),
    bindService(SERVICE_TABLES.tasks, implementations.tasks),
  ];
}
