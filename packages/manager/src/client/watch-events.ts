import { anyTypeName, fromTimestamp } from "@trimaran/proto";
import { DEFAULT_DIRECTORIES, type Directories } from "../bundles/directories.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { decodeEvent } from "../events/event-fields.ts";
import type { ManagerClient } from "./manager-client.ts";

/** One event of the manager or of a shim. */
export interface ManagerEvent {
  /** RFC 3339. */
  readonly time: string;
  readonly namespace: string;
  readonly topic: string;
  /** Name of the message's type. */
  readonly type: string;
  /** The message; undefined if its type is unknown here. */
  readonly event: object | undefined;
}

/** What a daemon must be told to have these directories. */
function directoryFlags({ root, state }: Directories): string {
  const given = [
    root === DEFAULT_DIRECTORIES.root ? "" : ` --root ${root}`,
    state === DEFAULT_DIRECTORIES.state ? "" : ` --state ${state}`,
  ];
  return given.join("");
}

/**
 * Events from now on, until the signal aborts. Filters are containerd's, a match of any is enough; none: all events of all namespaces.
 * Throws FailedPrecondition without a daemon: nobody sees the events of all commands.
 */
export async function* watchEvents(
  { services, address, directories }: ManagerClient,
  filters: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<ManagerEvent> {
  if (address === undefined) {
    throw new ManagerError(Code.FailedPrecondition, "no daemon is there, and without one nobody gathers events", {
      hint: `trimaran daemon${directoryFlags(directories)}`,
    });
  }
  try {
    for await (const { timestamp, namespace, topic, event } of services.events.subscribe(
      { filters: [...filters] },
      { signal },
    )) {
      const time = new Date(
        Number((timestamp === undefined ? 0n : fromTimestamp(timestamp)) / 1_000_000n),
      ).toISOString();
      const type = anyTypeName(event);
      yield { time, namespace, topic, type, event: event === undefined ? undefined : decodeEvent(type, event.value) };
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
