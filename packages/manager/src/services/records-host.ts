import type { EventExchange } from "../events/event-exchange.ts";
import type { CollectionScheduler } from "../gc/collection-scheduler.ts";
import type { Database } from "../metadata/database.ts";

/** What the services stand on that keep nothing but records. */
export interface RecordsHost {
  readonly database: Database;
  readonly events: EventExchange;
  readonly collection: Pick<CollectionScheduler, "changed" | "deleted" | "collect">;
  /** The clock, in nanoseconds since 1970. */
  readonly nowNs: () => bigint;
}
