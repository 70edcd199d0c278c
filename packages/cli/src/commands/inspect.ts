import { ClientTask, findContainer, type ManagerClient, specText } from "@trimaran/manager";
import type { ManagerFlags } from "../cli-context.ts";
import { plainNumbers } from "../format/write-list.ts";
import { command } from "../report-error.ts";

/** `trimaran inspect`. One JSON list, an object for each container. */
export const inspect = command<ManagerFlags, string[]>("inspect", async (context, flags, ids) => {
  await using client = await context.openClient(flags, "read");
  const found: object[] = [];
  for (const idOrPrefix of ids) {
    const { id } = await findContainer(client, idOrPrefix);
    const task = await new ClientTask(client, id).status();
    // Again: a shim that was found dead has left a note of its task's end.
    const { record, args, createdAtNs, ...container } = await findContainer(client, id);
    const { labels, snapshotter, snapshotKey } = record;
    found.push({
      ...container,
      createdAt: new Date(Number(createdAtNs / 1_000_000n)).toISOString(),
      command: args,
      task,
      networkAddresses: await addressesOf(client, id, container.network),
      labels,
      snapshotter,
      snapshotKey,
      spec: JSON.parse(specText(record) ?? "null"),
    });
  }
  context.process.stdout.write(`${JSON.stringify(found, plainNumbers, 2)}\n`);
  return 0;
});

async function addressesOf(client: ManagerClient, id: string, network: string | undefined): Promise<readonly string[]> {
  if (network === undefined) return [];
  return (await (await client.networks()).result(client.namespace, id))?.addresses ?? [];
}
