import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { taskV2 } from "@trimaran/proto";
import { Client, connectUnix } from "ttrpc-ts";
import { listMonitors, type RunningMonitor } from "./monitors.ts";

/** One task server that has made way, and who answers now. */
export interface Upgraded {
  readonly shim: string;
  readonly address: string;
  readonly namespace: string;
  /** 0: none ran. */
  readonly oldPid: number;
  /** 0: it has no monitors, and starts with the next container. */
  readonly newPid: number;
  /** Of the new one; "" if there is none. */
  readonly version: string;
  readonly monitors: number;
  /** From the word to go until every monitor had an answer from the new one. */
  readonly tookMs: number;
  /** It did not go by itself. */
  readonly wasKilled: boolean;
}

/** A task server's own bound, and a good deal more: it may be stopped, or the machine busy. To kill it then loses nothing. */
const LEAVE_LIMIT_MS = 10_000;
const ANSWER_LIMIT_MS = 60_000;

/**
 * Replace every task server whose folder is in `stateDirectory` by one of the build that is installed now: the old one finishes what it
 * is at, and each of its monitors is asked something, which the new one answers. Containers, open requests and waits go on. Throws
 * what the first monitor's connection says if that gets no answer.
 */
export async function upgradeServers(stateDirectory: string): Promise<Upgraded[]> {
  const monitors = listMonitors();
  const folders = readdirSync(stateDirectory).map((name) => join(stateDirectory, name));
  const upgrades = folders.map((folder) =>
    upgrade(
      folder,
      monitors.filter(({ directory }) => directory === folder),
    ),
  );
  return (await Promise.all(upgrades)).filter((each) => each !== undefined);
}

async function upgrade(directory: string, monitors: readonly RunningMonitor[]): Promise<Upgraded | undefined> {
  const old = readServer(directory);
  const [first] = monitors;
  if (old === undefined && first === undefined) return undefined;
  const beganMs = performance.now();
  const wasKilled = old !== undefined && (await leave(old));
  const versions = await Promise.all(monitors.map(askVersion));
  const { TRIMARAN_SHIM = "", TRIMARAN_ADDRESS = "", TRIMARAN_NAMESPACE = "" } = old?.environment ?? {};
  return {
    shim: first?.shim ?? TRIMARAN_SHIM,
    address: first?.address ?? TRIMARAN_ADDRESS,
    namespace: first?.namespace ?? TRIMARAN_NAMESPACE,
    oldPid: old?.pid ?? 0,
    newPid: first === undefined ? 0 : (readServer(directory)?.pid ?? 0),
    version: versions[0] ?? "",
    monitors: monitors.length,
    tookMs: Math.round(performance.now() - beganMs),
    wasKilled,
  };
}

interface RunningServer {
  readonly pid: number;
  readonly startTime: string;
  readonly environment: Readonly<Record<string, string>>;
}

/** The one that `server.pid` names, if it runs. Source: packages/monitor/PROTOCOL.md, section 1.1. */
function readServer(directory: string): RunningServer | undefined {
  try {
    const [pid = "", startTime = ""] = readFileSync(join(directory, "server.pid"), "utf8").trim().split(" ");
    if (startTimeOf(Number(pid)) !== startTime) return undefined;
    const variables = readFileSync(`/proc/${pid}/environ`, "utf8").split("\0");
    const environment = Object.fromEntries(variables.map((each) => each.split(/=(.*)/s, 2)));
    return { pid: Number(pid), startTime, environment };
  } catch {
    return undefined; // there is none, or it has gone just now
  }
}

/** Field 22 of stat; undefined if there is no such process. A zombie has gone. */
function startTimeOf(pid: number): string | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "latin1")
      .replace(/^.*\) /s, "")
      .split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

/** Ask it to go, and see to it that it does. Whether it had to be killed. */
async function leave({ pid, startTime }: RunningServer): Promise<boolean> {
  const isThere = () => startTimeOf(pid) === startTime;
  signal(pid, "SIGTERM");
  for (const until = performance.now() + LEAVE_LIMIT_MS; isThere(); await delay(10)) {
    if (performance.now() < until) continue;
    signal(pid, "SIGKILL");
    return true;
  }
  return false;
}

/** One that has just gone by itself is as good as one that went because of us. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

/** A call that only a task server can answer: it is started if there is none. */
async function askVersion({ socket, id }: RunningMonitor): Promise<string> {
  const client = new Client(await connectUnix(socket));
  try {
    return (await client.service(taskV2).connect({ id }, { timeoutMs: ANSWER_LIMIT_MS })).version;
  } finally {
    client.close();
  }
}
