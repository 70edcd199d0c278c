import {
  type ClientContainer,
  Code,
  findContainer,
  hasCode,
  listContainers,
  type ManagerClient,
  ManagerError,
} from "@trimaran/manager";
import { containerChanges, containerLayers } from "@trimaran/manager/changes";
import type { Change, ContainerPage } from "../../web/model.ts";
import { namespacesOf, readNamespaces } from "./namespace-sets.ts";

/** More would be of no use on a page. */
const CHANGES_LIMIT = 2000;

/** What there is to see of one container. Throws NotFound. */
export async function readContainerPage(client: ManagerClient, id: string): Promise<ContainerPage> {
  const container = await findContainer(client, id);
  const [layers, changes, pid] = await Promise.all([
    orNothing(containerLayers(client, container)),
    orNothing(readChanges(client, container)),
    pidOf(client, container.id),
  ]);
  const own = pid === 0 ? new Map<string, string>() : await readNamespaces(String(pid));
  const host = await readNamespaces("self");
  return {
    id: container.id,
    layers: layers.map(({ index, directory, snapshot, sizeBytes }) => ({
      index,
      directory,
      snapshot,
      sizeBytes: sizeBytes ?? -1,
    })),
    changes: changes.slice(0, CHANGES_LIMIT),
    hasMoreChanges: changes.length > CHANGES_LIMIT,
    namespaces: namespacesOf(own, host),
  };
}

async function readChanges(client: ManagerClient, container: ClientContainer): Promise<Change[]> {
  const changes: Change[] = [];
  for await (const { path, kind, type, sizeBytes } of containerChanges(client, container)) {
    changes.push({ path, kind, type, sizeBytes });
    if (changes.length > CHANGES_LIMIT) break;
  }
  return changes;
}

/** A container without layers has none to show; that is no failure of the page. */
async function orNothing<T>(list: Promise<T[]>): Promise<T[]> {
  try {
    return await list;
  } catch (error) {
    if (error instanceof ManagerError || hasCode(error, Code.NotFound)) return [];
    throw error;
  }
}

/** Of its first process; 0 if it does not run. */
async function pidOf(client: ManagerClient, id: string): Promise<number> {
  return (await listContainers(client)).find(({ container }) => container.id === id)?.pid ?? 0;
}
