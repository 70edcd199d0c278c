import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** What a process may, as the kernel tells it. */
export interface Privileges {
  readonly uid: number;
  /** Union of the effective, permitted, inheritable and ambient sets. */
  readonly capabilities: bigint;
  readonly bounding: bigint;
  readonly noNewPrivileges: boolean;
  /** 0: none, 2: a filter. */
  readonly seccomp: number;
  /** Whether it is in a pid namespace of its own: its number is another one there. */
  readonly hasOwnPids: boolean;
  /** Namespaces that are not ours. */
  readonly namespaces: readonly string[];
  /** Targets of its open files, without standard streams. */
  readonly files: readonly string[];
  /** Names of its environment. */
  readonly environment: readonly string[];
  readonly oomScoreAdj: number;
}

const KINDS = ["ipc", "mnt", "net", "pid", "uts", "cgroup", "user"];

/** Look at a process. Throws where it is gone. */
export function privilegesOf(pid: number): Privileges {
  const read = (name: string) => readFileSync(`/proc/${pid}/${name}`, "utf8");
  const status = read("status");
  const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, "m").exec(status)?.[1] ?? "";
  const set = (name: string) => BigInt(`0x${field(name)}`);
  return {
    uid: Number(field("Uid").split("\t")[1]),
    capabilities: ["CapEff", "CapPrm", "CapInh", "CapAmb"].reduce((all, name) => all | set(name), 0n),
    bounding: set("CapBnd"),
    noNewPrivileges: field("NoNewPrivs") === "1",
    seccomp: Number(field("Seccomp")),
    hasOwnPids: field("NSpid").split("\t").length > 1,
    namespaces: KINDS.filter(
      (kind) => readlinkSync(`/proc/${pid}/ns/${kind}`) !== readlinkSync(`/proc/self/ns/${kind}`),
    ),
    files: openFiles(pid),
    environment: read("environ")
      .split("\0")
      .map((entry) => entry.split("=")[0] ?? "")
      .filter((name) => name !== ""),
    oomScoreAdj: Number(read("oom_score_adj")),
  };
}

function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`)
    .filter((name) => Number(name) > 2)
    .flatMap((name) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${name}`)];
      } catch {
        return []; // it was closed meanwhile
      }
    })
    .sort();
}

/** Descendants of a process, itself left out. */
export function descendantsOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .trim()
    .split(" ")
    .filter(Boolean)
    .map(Number);
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}

/** A process's program and arguments, with blanks between. */
export function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
}
