import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Scope, socketPath } from "@trimaran/shim-check";

export { cgroupsOf, mountsOf, type ProcessEntry, processesOf, type Scope, socketPath } from "@trimaran/shim-check";

/** The pid of a process's parent. Throws if it has ended. */
export async function parentOf(pid: number): Promise<number> {
  return Number(/^\d+ \(.*\) \S (\d+)/s.exec(await readFile(`/proc/${pid}/stat`, "latin1"))?.[1]);
}

/** Sockets, bundles and state of the scope's containers: everything named after one of its ids. */
export async function filesOf(scope: Scope): Promise<string[]> {
  const sockets = scope.ids
    .map((id) => socketPath(scope.address, scope.namespace, id))
    .filter((path) => existsSync(path));
  const task = "io.containerd.runtime.v2.task";
  const folders = [
    join(scope.dir, "state", task, scope.namespace),
    join(scope.dir, "root", task, scope.namespace),
    join("/run/containerd/runc", scope.namespace),
    join("/run/containerd/runsc", scope.namespace),
  ];
  // empty or not; upstream leaves its own
  const root = join("/run/containerd/runsc", scope.namespace);
  const lists = folders.map(async (folder) =>
    (await readdir(folder).catch(() => [])).map((name) => join(folder, name)),
  );
  const state = await readdir(join(scope.dir, "t"), { recursive: true }).catch(() => []);
  const kept = state
    .filter((path) => /^kata\/./.test(path) || scope.ids.some((id) => path.includes(id)))
    .map((path) => join(scope.dir, "t", path));
  // virtiofsd leaves them by itself, where it was not given its socket
  const pidFiles = (await readdir("/run/virtiofsd").catch(() => [])).filter((name) => name.includes(scope.tag));
  kept.push(...pidFiles.map((name) => join("/run/virtiofsd", name)));
  return [...sockets, ...(existsSync(root) ? [root] : []), ...(await Promise.all(lists)).flat(), ...kept];
}
