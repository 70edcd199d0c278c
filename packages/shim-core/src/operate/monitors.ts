import { readdirSync, readFileSync } from "node:fs";
import { decodeIdentity } from "../pod/identity.ts";

/** A monitor that runs on this machine, and whose it is. */
export interface RunningMonitor {
  readonly pid: number;
  /** Name of the shim's binary. */
  readonly shim: string;
  /** The engine's gRPC socket. */
  readonly address: string;
  readonly namespace: string;
  /** Container, or sandbox, whose `start` made it. */
  readonly id: string;
  readonly bundle: string;
  readonly socket: string;
  /** Of the task server that made it; "" for one from before versions were noted. */
  readonly version: string;
  /** Where its task server's socket is. */
  readonly directory: string;
}

/** All monitors of this machine, the oldest first. What this process may not look into is not shown: it has to be root's. */
export function listMonitors(): RunningMonitor[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const all = pids.map(Number).flatMap((pid) => readMonitor(pid) ?? []);
  const known = new Set(all.map(({ pid }) => pid));
  // between clone and exec a container's process looks like the monitor that it is a child of
  return oldestFirst(all.map((each) => ({ ...each, ...readStat(each.pid) })))
    .filter(({ parent }) => !known.has(parent))
    .map(({ parent, startTime, ...monitor }) => monitor);
}

/** In the order of their beginning: pids begin again at the lowest ones. */
export function oldestFirst<T extends { readonly pid: number; readonly startTime: number }>(all: readonly T[]): T[] {
  return all.toSorted((a, b) => a.startTime - b.startTime || a.pid - b.pid);
}

function readMonitor(pid: number): RunningMonitor | undefined {
  if (!read(pid, "cmdline").startsWith("containerd-shim-")) return undefined;
  const variables = read(pid, "environ").split("\0");
  const variable = (name: string) =>
    variables.find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
  const text = variable("TRIMARAN_MONITOR");
  if (text === "") return undefined;
  const { id, namespace, bundle, socket, version = "" } = decodeIdentity(text);
  const [shim, address, directory] = ["TRIMARAN_SHIM", "TRIMARAN_ADDRESS", "TRIMARAN_DIR"].map(variable);
  return {
    pid,
    shim: shim ?? "",
    address: address ?? "",
    namespace,
    id,
    bundle,
    socket,
    version,
    directory: directory ?? "",
  };
}

/** Fields 4 and 22 of its stat, the second in ticks since the boot; 0 for a process that has gone. */
function readStat(pid: number): { readonly parent: number; readonly startTime: number } {
  const stat = read(pid, "stat");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" "); // from the third on
  return { parent: Number(fields[1] ?? 0), startTime: Number(fields[19] ?? 0) };
}

/** Empty for a process that has gone, or is another user's. */
function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return "";
  }
}
