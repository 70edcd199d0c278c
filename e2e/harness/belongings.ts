import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** A process, as leak reports show it. */
export interface ProcessEntry {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly command: string;
}

/** What marks things as a test's own, on a machine where others work, too. */
export interface Scope {
  /** Part of its paths, ids and environment. */
  readonly tag: string;
  readonly dir: string;
  readonly namespace: string;
  readonly address: string;
  readonly ids: readonly string[];
}

const CGROUPS = "/sys/fs/cgroup";

/** Processes whose command line, environment or cgroup names the scope's tag. Zombies that are left to PID 1 don't count. */
export async function processesOf({ tag }: Pick<Scope, "tag">): Promise<ProcessEntry[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(pids.map((pid) => processEntry(pid, tag)));
  return found.filter((entry) => entry !== undefined);
}

async function processEntry(pid: string, tag: string): Promise<ProcessEntry | undefined> {
  const read = (name: string) => readFile(`/proc/${pid}/${name}`, "latin1").catch(() => "");
  const [command, environment, cgroup, stat] = await Promise.all(["cmdline", "environ", "cgroup", "stat"].map(read));
  if (![command, environment, cgroup].some((text) => text?.includes(tag))) return undefined;
  const [, name, state, parent] = /^\d+ \((.*)\) (\S) (\d+)/s.exec(stat ?? "") ?? [];
  if (state === undefined || (state === "Z" && parent === "1")) return undefined;
  const shown = command === "" || command === undefined ? `[${name}]` : command.replaceAll("\0", " ").trim();
  return { pid: Number(pid), parent: Number(parent), state, command: shown };
}

/** The pid of a process's parent. Throws if it has ended. */
export async function parentOf(pid: number): Promise<number> {
  return Number(/^\d+ \(.*\) \S (\d+)/s.exec(await readFile(`/proc/${pid}/stat`, "latin1"))?.[1]);
}

/** Mount points that lie in, or come from, the scope's folders, innermost last. */
export async function mountsOf({ dir }: Pick<Scope, "dir">): Promise<string[]> {
  const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
  return lines.filter((line) => line.includes(dir)).map((line) => line.split(" ")[4] ?? "");
}

/** Cgroup folders with the scope's tag in their path, children first. The namespace's own folder is shared, like upstream's `/default`. */
export async function cgroupsOf(scope: Pick<Scope, "tag" | "namespace">): Promise<string[]> {
  const hierarchies = await readdir(CGROUPS, { withFileTypes: true });
  const roots = hierarchies.filter((entry) => entry.isDirectory()).map((entry) => join(CGROUPS, entry.name));
  const lists = await Promise.all(
    [...roots, CGROUPS].map((root) => foldersNamed(root, scope.tag, root === CGROUPS ? 0 : 3)),
  );
  return [...new Set(lists.flat())].filter((path) => !path.endsWith(`/${scope.namespace}`));
}

/** Folders below `root`, to a depth, that have `part` in their path below it, children first. */
async function foldersNamed(root: string, part: string, depth: number): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true }).catch(() => []);
  const found: string[] = [];
  for (const entry of entries.filter((each) => each.isDirectory())) {
    const path = join(root, entry.name);
    if (depth > 0) found.push(...(await foldersNamed(path, part, depth - 1)));
    if (path.includes(part)) found.push(path);
  }
  return found;
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

/** The shim's socket by the contract's rule (section 2.6): a hash of address, namespace and group id. */
export function socketPath(address: string, namespace: string, id: string): string {
  return join(
    "/run/containerd/s",
    createHash("sha256")
      .update(join(address, namespace, id))
      .digest("hex"),
  );
}
