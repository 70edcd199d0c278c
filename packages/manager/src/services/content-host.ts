import type { ContentFiles } from "../content/content-files.ts";
import type { EventExchange } from "../events/event-exchange.ts";
import type { CollectionScheduler } from "../gc/collection-scheduler.ts";
import type { ContentCatalog } from "./content-catalog.ts";

/** What the content service stands on. */
export interface ContentHost {
  readonly catalog: ContentCatalog;
  readonly files: ContentFiles;
  readonly events: EventExchange;
  readonly collection: Pick<CollectionScheduler, "changed" | "deleted">;
  /** The clock, in nanoseconds since 1970. */
  readonly nowNs: () => bigint;
}
