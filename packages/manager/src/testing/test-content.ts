import { join } from "node:path";
import { contentV1 } from "@trimaran/proto";
import { ContentFiles } from "../content/content-files.ts";
import { EventExchange } from "../events/event-exchange.ts";
import { inProcessClient } from "../grpc/in-process.ts";
import type { ServiceClient } from "../grpc/service-client.ts";
import { Database } from "../metadata/database.ts";
import { LeaseRecords } from "../metadata/leases.ts";
import { ContentCatalog } from "../services/content-catalog.ts";
import type { ContentHost } from "../services/content-host.ts";
import { contentService } from "../services/content-service.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

/** A content service on a folder and a database of its own, and what a test wants to see of it. */
export interface TestContent extends AsyncDisposable {
  readonly root: string;
  readonly database: Database;
  readonly host: ContentHost;
  client(namespace?: string): ServiceClient<typeof contentV1>;
  /** "<namespace> <topic>" of all events so far. */
  topics(): readonly string[];
  /** How often a collection was asked for because something was deleted. */
  deletions(): number;
  /** In the namespace `default`, as `leased`. */
  createLease(id: string): void;
  /** "<type> <id>" of what a lease holds. */
  leased(id: string): string[];
}

/** On a new folder, which goes at the end. The caller disposes. */
export async function openTestContent(): Promise<TestContent> {
  const directory = temporaryDirectory();
  const content = await openTestContentIn(directory.path);
  return {
    ...content,
    async [Symbol.asyncDispose]() {
      await content[Symbol.asyncDispose]();
      directory[Symbol.dispose]();
    },
  };
}

/** On a folder that may have been used before, and stays. The caller disposes. */
export async function openTestContentIn(folder: string): Promise<TestContent> {
  const root = join(folder, "content");
  const nowNs = () => BigInt(Date.now()) * 1_000_000n;
  const database = Database.open(join(folder, "meta.db"));
  const leases = new LeaseRecords(database);
  const files = await ContentFiles.open(root, nowNs);
  const events = new EventExchange();
  const seen = { topics: [] as string[], deletions: 0 };
  events.subscribe(({ namespace, topic }) => void seen.topics.push(`${namespace} ${topic}`));
  const collection = {
    changed: () => {},
    deleted: () => {
      seen.deletions++;
    },
  };
  const host = { catalog: new ContentCatalog(database, nowNs), files, events, collection, nowNs };
  const service = contentService(host);
  return {
    root,
    database,
    host,
    client: (namespace = "default") => inProcessClient(contentV1, service, namespace),
    topics: () => seen.topics,
    deletions: () => seen.deletions,
    createLease: (id) => leases.create("default", { id, labels: {}, createdAtNs: nowNs() }),
    leased: (id) => leases.resources("default", id).map((each) => `${each.type} ${each.id}`),
    async [Symbol.asyncDispose]() {
      database[Symbol.dispose]();
    },
  };
}
