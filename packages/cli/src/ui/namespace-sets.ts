import { readdir, readlink } from "node:fs/promises";
import { listContainers, type ManagerClient, requireTask } from "@trimaran/manager";
import type { NamespaceMember, NamespaceSets } from "../../web/model.ts";

/** In the order in which a tour would name them. */
export const KINDS = ["pid", "net", "mnt", "uts", "ipc", "user", "cgroup", "time"] as const;

/** Kind to identity (`pid:[4026531836]`) of the namespaces of a process; empty for one that has ended. */
export async function readNamespaces(pid: string): Promise<Map<string, string>> {
  const found = await Promise.all(
    KINDS.map(async (kind): Promise<[string, string] | undefined> => {
      try {
        return [kind, await readlink(`/proc/${pid}/ns/${kind}`)];
      } catch {
        return undefined; // it has ended, or the kernel has no such kind
      }
    }),
  );
  return new Map(found.filter((entry) => entry !== undefined));
}

/** The namespaces of one process, and whether they are the host's. */
export function namespacesOf(
  own: ReadonlyMap<string, string>,
  host: ReadonlyMap<string, string>,
): ContainerNamespace[] {
  return [...own].map(([kind, identity]) => ({ kind, identity, isHost: host.get(kind) === identity }));
}
type ContainerNamespace = { readonly kind: string; readonly identity: string; readonly isHost: boolean };

/** Which containers and how many processes are in which namespace: the whole machine, by /proc. */
export async function readNamespaceSets(client: ManagerClient): Promise<NamespaceSets> {
  const owners = await containersByPid(client);
  const host = await readNamespaces("self");
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const sets = new Map<string, { kind: string; processes: number; containers: Map<string, number> }>();
  for (const pid of pids) {
    for (const [kind, identity] of await readNamespaces(pid)) {
      const set = sets.get(identity) ?? { kind, processes: 0, containers: new Map<string, number>() };
      set.processes++;
      const owner = owners.get(pid);
      if (owner !== undefined) set.containers.set(owner, (set.containers.get(owner) ?? 0) + 1);
      sets.set(identity, set);
    }
  }
  const members = (containers: ReadonlyMap<string, number>): NamespaceMember[] =>
    [...containers].map(([id, processes]) => ({ id, processes })).sort((a, b) => (a.id < b.id ? -1 : 1));
  const isHost = (kind: string, identity: string) => host.get(kind) === identity;
  return {
    sets: [...sets]
      .filter(([identity, { kind, containers }]) => containers.size > 0 || isHost(kind, identity))
      .map(([identity, { kind, processes, containers }]) => ({
        kind,
        identity,
        isHost: isHost(kind, identity),
        processes,
        containers: members(containers),
      })),
  };
}

async function containersByPid(client: ManagerClient): Promise<Map<string, string>> {
  const running = (await listContainers(client)).filter(({ pid }) => pid !== undefined);
  const pids = await Promise.all(
    running.map(async ({ container: { id } }): Promise<[string, string][]> => {
      try {
        return (await (await requireTask(client, id)).pids()).map((pid) => [String(pid), id]);
      } catch {
        return []; // it has ended meanwhile
      }
    }),
  );
  return new Map(pids.flat());
}
