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

/** All monitors of this machine, by pid. What this process may not look into is not shown: it has to be root's. */
export function listMonitors(): RunningMonitor[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  const all = pids.map(Number).flatMap((pid) => readMonitor(pid) ?? []);
  const known = new Set(all.map(({ pid }) => pid));
  // between clone and exec a container's process looks like the monitor that it is a child of
  return all.filter(({ pid }) => !known.has(parentOf(pid))).sort((a, b) => a.pid - b.pid);
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

function parentOf(pid: number): number {
  return Number(/^\d+ \(.*\) \S (\d+)/s.exec(read(pid, "stat"))?.[1] ?? 0);
}

/** Empty for a process that has gone, or is another user's. */
function read(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return "";
  }
}
