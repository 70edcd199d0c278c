import { join } from "node:path";
import {
  type containerd,
  containersV1,
  eventsV1,
  imagesV1,
  leasesV1,
  namespacesV1,
  sandboxStoreV1,
} from "@trimaran/proto";
import { EventExchange, type ShimEvent } from "../events/event-exchange.ts";
import { inProcessClient } from "../grpc/in-process.ts";
import { Database } from "../metadata/database.ts";
import { containersService } from "../services/containers-service.ts";
import { eventsService } from "../services/events-service.ts";
import { imagesService } from "../services/images-service.ts";
import { leasesService } from "../services/leases-service.ts";
import { namespacesService } from "../services/namespaces-service.ts";
import type { RecordsHost } from "../services/records-host.ts";
import { sandboxStoreService } from "../services/sandbox-store-service.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

type Container = Partial<containerd.services.containers.v1.Container>;
type Image = Partial<containerd.services.images.v1.Image>;

/** Knows how many listen. */
class CountingExchange extends EventExchange {
  subscribers = 0;

  override subscribe(subscriber: (event: ShimEvent) => void): Disposable {
    const subscription = super.subscribe(subscriber);
    this.subscribers++;
    return {
      [Symbol.dispose]: () => {
        this.subscribers--;
        subscription[Symbol.dispose]();
      },
    };
  }
}

/** A clock that goes on by a nanosecond whenever somebody looks. */
function steppingClock(): () => bigint {
  const clock = { nowNs: 1_700_000_000_000_000_000n };
  return () => ++clock.nowNs;
}

/** The services that keep records, on a database of their own, and what a test wants to see of them. The caller disposes. */
export function openTestRecords() {
  const directory = temporaryDirectory();
  const database = Database.open(join(directory.path, "meta.db"));
  const events = new CountingExchange();
  const published: ShimEvent[] = [];
  events.subscribe((event) => void published.push(event));
  const calls = { changed: 0, deleted: 0, collect: 0 };
  const collection = {
    changed: () => void calls.changed++,
    deleted: () => void calls.deleted++,
    collect: async () => void calls.collect++,
  };
  const host: RecordsHost = { database, events, collection, nowNs: steppingClock() };
  return {
    host,
    events,
    published,
    calls,
    /** Clients in a namespace. */
    services: (namespace = "ns") => ({
      containers: inProcessClient(containersV1, containersService(host), namespace),
      events: inProcessClient(eventsV1, eventsService(host), namespace),
      images: inProcessClient(imagesV1, imagesService(host), namespace),
      leases: inProcessClient(leasesV1, leasesService(host), namespace),
      namespaces: inProcessClient(namespacesV1, namespacesService(host), namespace),
      sandboxStore: inProcessClient(sandboxStoreV1, sandboxStoreService(host), namespace),
    }),
    [Symbol.dispose]() {
      database[Symbol.dispose]();
      directory[Symbol.dispose]();
    },
  };
}

/** What Containers.Create takes. */
export function testContainer(id: string, more: Container = {}): Container {
  const spec = { typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: Buffer.from("{}") };
  return { id, spec, runtime: { name: "io.containerd.runc.v2", options: undefined }, ...more };
}

/** What Images.Create takes. */
export function testImage(name: string, more: Image = {}): Image {
  const target = { mediaType: "application/vnd.oci.image.index.v1+json", size: 5n, annotations: {} };
  return { name, target: { ...target, digest: `sha256:${"a".repeat(64)}` }, ...more };
}
