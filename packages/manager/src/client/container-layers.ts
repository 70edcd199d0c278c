import { lstatSync, type Stats } from "node:fs";
import { join, normalize } from "node:path/posix";
import type { ClientContainer } from "./client-container.ts";
import type { ManagerClient } from "./manager-client.ts";
import { isWhiteout } from "./rootfs-changes.ts";
import { containerDirectories, type RootfsDirectories } from "./rootfs-directories.ts";

/** One layer of a container's root file system. */
export interface ContainerLayer {
  /** 0 is the container's own, on top. */
  readonly index: number;
  readonly directory: string;
  /** Name of its snapshot: the container's key, a chain id; empty if it is no snapshot's. */
  readonly snapshot: string;
  /** What it takes on disk; undefined if nobody counts. */
  readonly sizeBytes: number | undefined;
}

/** What one layer has at a path. */
export interface LayerEntry {
  readonly index: number;
  readonly kind: "directory" | "file" | "symlink" | "other" | "whiteout";
  readonly sizeBytes: number;
  /** Whether this is the one that the container sees. Directories of several layers are seen as one. */
  readonly isSeen: boolean;
}

/** The layers of a container, its own first. */
export async function containerLayers(client: ManagerClient, container: ClientContainer): Promise<ContainerLayer[]> {
  const directories = layerDirectories(await containerDirectories(client, container));
  const chain = await snapshotChain(client, container);
  return Promise.all(
    directories.map(async (directory, index) => ({
      index,
      directory,
      snapshot: chain[index] ?? "",
      sizeBytes: chain[index] === undefined ? undefined : await usageOf(client, container, chain[index]),
    })),
  );
}

/** Which layers have something at a path (absolute, within the container), topmost first. Links are not followed. */
export async function layersWithPath(
  client: ManagerClient,
  container: ClientContainer,
  path: string,
): Promise<LayerEntry[]> {
  const clean = normalize(join("/", path)).replace(/(?<=.)\/$/, "");
  const entries: LayerEntry[] = [];
  let isHidden = false;
  for (const [index, directory] of layerDirectories(await containerDirectories(client, container)).entries()) {
    const found = lookUp(directory, clean);
    if (found === undefined) continue;
    const kind = found === "hidden" || isWhiteout(found) ? "whiteout" : kindOf(found);
    if (found !== "hidden" || entries.length > 0) {
      entries.push({
        index,
        kind,
        sizeBytes: found !== "hidden" && found.isFile() ? found.size : 0,
        isSeen: !isHidden && kind !== "whiteout" && (entries.length === 0 || kind === "directory"),
      });
    }
    if (kind !== "directory") isHidden = true;
  }
  return entries;
}

function layerDirectories({ upper, lowers }: RootfsDirectories): string[] {
  return upper === undefined ? [...lowers] : [upper, ...lowers];
}

/** Component by component: a whiteout or a link of the layer in place of a parent hides what is below. */
function lookUp(directory: string, path: string): Stats | "hidden" | undefined {
  const parts = path.split("/").filter(Boolean);
  let at = directory;
  let stat = lstatSync(at, { throwIfNoEntry: false });
  for (const part of parts) {
    if (stat === undefined) return undefined;
    if (!stat.isDirectory()) return "hidden";
    at = `${at}/${part}`;
    stat = lstatSync(at, { throwIfNoEntry: false });
  }
  return stat;
}

async function snapshotChain({ services }: ManagerClient, { rootfs }: ClientContainer): Promise<string[]> {
  if (rootfs.kind !== "snapshot") return [];
  const chain: string[] = [];
  for (let name = rootfs.key; name !== ""; ) {
    chain.push(name);
    const { info } = await services.snapshots.stat({ snapshotter: rootfs.snapshotter, key: name });
    name = info?.parent ?? "";
  }
  return chain;
}

async function usageOf(
  { services }: ManagerClient,
  { rootfs }: ClientContainer,
  key: string,
): Promise<number | undefined> {
  if (rootfs.kind !== "snapshot") return undefined;
  return Number((await services.snapshots.usage({ snapshotter: rootfs.snapshotter, key })).size);
}

function kindOf(stat: Stats): Exclude<LayerEntry["kind"], "whiteout"> {
  if (stat.isDirectory()) return "directory";
  if (stat.isFile()) return "file";
  return stat.isSymbolicLink() ? "symlink" : "other";
}
