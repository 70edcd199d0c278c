import { readdir, readFile, readlink } from "node:fs/promises";

/**
 * Pid of the process that listens on a unix socket: /proc/net/unix knows the socket's inode by its path, and one process's descriptors
 * lead to it. So a shim need not be asked, which may lie or hang. Undefined if nobody does; of several that share it, the oldest.
 */
export async function listenerOf(address: string): Promise<number | undefined> {
  const path = address.replace(/^unix:\/\//, "");
  const lines = (await readFile("/proc/net/unix", "utf8")).split("\n").map((line) => line.split(/\s+/));
  const LISTENING = "00010000"; // __SO_ACCEPTCON
  const inode = lines.find(([, , , flags, , , , name]) => name === path && flags === LISTENING)?.[6];
  if (inode === undefined) return undefined;
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const holders = await Promise.all(pids.map(async (pid) => ((await holds(pid, inode)) ? pid : undefined)));
  return holders.filter((pid) => pid !== undefined).sort((one, other) => one - other)[0];
}

async function holds(pid: number, inode: string): Promise<boolean> {
  const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const targets = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")));
  return targets.includes(`socket:[${inode}]`);
}
