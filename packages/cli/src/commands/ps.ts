import { type ContainerSummary, formatPortMapping, isExpired, listContainers, removeRecord } from "@trimaran/manager";
import type { CliContext, ManagerFlags } from "../cli-context.ts";
import { formatAge } from "../format/format-age.ts";
import { writeList } from "../format/write-list.ts";
import { command } from "../report-error.ts";

export interface PsFlags extends ManagerFlags {
  readonly all: boolean;
  readonly quiet: boolean;
  readonly json: boolean;
}

/** `trimaran ps`. */
export const ps = command<PsFlags, []>("ps", async (context, flags) => {
  await using client = await context.openClient(flags, "read");
  const containers = await listContainers(client);
  const expired = containers.filter(isExpired);
  if (expired.length > 0) await removeExpired(context, flags, expired);
  const there = containers.filter((summary) => !isExpired(summary));
  const shown = there.filter(({ state }) => flags.all || (state !== "stopped" && state !== "new"));
  const hidden = there.length - shown.length;
  const isAre = hidden === 1 ? "is" : "are";
  writeList(context, flags, shown, {
    head: ["ID", "STATE", "PID", "CREATED", "RUNTIME", "IMAGE", "PORTS", "COMMAND"],
    row: toRow,
    name: ({ container }) => container.id,
    json: toJson,
    empty:
      hidden > 0 ? `${hidden} that ${isAre} not running in namespace ${client.namespace}: trimaran ps -a` : undefined,
  });
  return 0;
});

/** Containers that were to go when they end, and nobody was there to see to it. */
async function removeExpired(context: CliContext, flags: PsFlags, expired: readonly ContainerSummary[]): Promise<void> {
  await using client = await context.openClient(flags, "write");
  const { ClientTask } = await import("@trimaran/manager");
  for (const { container } of expired) {
    await new ClientTask(client, container.id).delete();
    await removeRecord(client, container);
  }
}

function toRow({ container, state, pid, exitStatus }: ContainerSummary): string[] {
  const { id, runtime, image, ports, args, createdAtNs } = container;
  const shown = exitStatus === undefined ? state : `exited (${exitStatus})`;
  const age = formatAge(Date.now() - Number(createdAtNs / 1_000_000n));
  const published = ports.map(formatPortMapping).join(", ");
  return [id, shown, pid === undefined ? "-" : String(pid), age, runtime, image, published, args.join(" ")];
}

/** Keys that are always there, and `pid` and `exitStatus` where there is one. */
function toJson({ container, state, pid, exitStatus }: ContainerSummary) {
  const { id, runtime, image, args, createdAtNs, ports, network } = container;
  const createdAt = new Date(Number(createdAtNs / 1_000_000n)).toISOString();
  return { id, runtime, state, pid, exitStatus, image, command: args, createdAt, network, ports };
}
