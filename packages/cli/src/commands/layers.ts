import { findContainer } from "@trimaran/manager";
import {
  containerChanges,
  containerLayers,
  type LayerEntry,
  layersWithPath,
  type RootfsChange,
} from "@trimaran/manager/changes";
import type { ManagerFlags } from "../cli-context.ts";
import { formatSize } from "../format/format-size.ts";
import { table } from "../format/table.ts";
import { command } from "../report-error.ts";

export interface LayersFlags extends ManagerFlags {
  readonly json: boolean;
}

/** `trimaran layers`. With paths: which layer holds them; without: the layers, and what the container has done to them. */
export const layers = command<LayersFlags, string[]>("layers", async (context, flags, [id = "", ...paths]) => {
  await using client = await context.openClient(flags, "read");
  const container = await findContainer(client, id);
  const { stdout } = context.process;
  if (paths.length > 0) {
    const rows: string[][] = [];
    for (const path of paths) {
      const entries = await layersWithPath(client, container, path);
      if (flags.json) stdout.write(`${JSON.stringify({ path, entries })}\n`);
      else if (entries.length === 0) rows.push([path, "-", "in no layer", "", ""]);
      else rows.push(...entries.map((entry) => toEntryRow(path, entry)));
    }
    if (!flags.json) stdout.write(table(["PATH", "LAYER", "KIND", "SIZE", "SEEN"], rows));
    return 0;
  }
  const all = await containerLayers(client, container);
  const changes: RootfsChange[] = [];
  for await (const change of containerChanges(client, container)) changes.push(change);
  if (flags.json) {
    for (const layer of all) stdout.write(`${JSON.stringify({ kind: "layer", ...layer })}\n`);
    for (const change of changes)
      stdout.write(`${JSON.stringify({ ...change, kind: "change", change: change.kind })}\n`);
    return 0;
  }
  const size = (bytes: number | undefined) => (bytes === undefined ? "-" : formatSize(bytes));
  const rows = all.map(({ index, snapshot, sizeBytes, directory }) => [
    String(index),
    size(sizeBytes),
    snapshot.slice(0, 19) || "-",
    directory,
  ]);
  stdout.write(table(["LAYER", "SIZE", "SNAPSHOT", "DIRECTORY"], rows, Number.POSITIVE_INFINITY));
  stdout.write("\n");
  const changed = changes.map(({ kind, path, lower, sizeBytes }) => [
    kind,
    lower === undefined ? "-" : String(lower + 1),
    size(sizeBytes),
    path,
  ]);
  stdout.write(table(["CHANGE", "COVERS", "SIZE", "PATH"], changed, Number.POSITIVE_INFINITY));
  return 0;
});

function toEntryRow(path: string, { index, kind, sizeBytes, isSeen }: LayerEntry): string[] {
  return [path, String(index), kind, kind === "file" ? formatSize(sizeBytes) : "-", isSeen ? "yes" : "no"];
}
