import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { capabilityNames } from "../capability/capability.ts";
import { detectCgroups, unescapeOctal } from "../cgroup/host.ts";

/** Kinds as the OCI spec names them, and the files of /proc/PID/ns. */
const NAMESPACES = {
  mount: "mnt",
  uts: "uts",
  ipc: "ipc",
  pid: "pid",
  network: "net",
  cgroup: "cgroup",
  user: "user",
  time: "time",
} as const;

/** A namespace that a process is in. */
export interface NamespaceView {
  readonly kind: keyof typeof NAMESPACES;
  /** Names it: two processes with the same number are in the same one. */
  readonly inode: number;
  /** `host`: that of the process that looks. `shared`: that of other containers, named in `with`. `own`: nobody else's of those asked for. */
  readonly relation: "own" | "host" | "shared";
  readonly with: readonly string[];
}

/** A cgroup that a process is in, and the files of it that say something. */
export interface CgroupView {
  /** `unified`, or a v1 hierarchy's controllers. */
  readonly hierarchy: string;
  readonly directory: string;
  /** Contents of limit files, by name; "max" and their like included. */
  readonly limits: Readonly<Record<string, string>>;
  /** Contents of counters, by name. */
  readonly usage: Readonly<Record<string, string>>;
}

/** A mount that a process sees. Options are the mount's and, after them, the file system's. */
export interface MountView {
  readonly target: string;
  readonly type: string;
  readonly source: string;
  readonly options: readonly string[];
}

/** What the kernel says of a running process: of a container's init, that is what the container is. */
export interface ProcessView {
  readonly pid: number;
  /** Its pids from the outermost namespace to its own. */
  readonly pidsInside: readonly number[];
  readonly uid: number;
  readonly gid: number;
  readonly namespaces: readonly NamespaceView[];
  readonly cgroups: readonly CgroupView[];
  readonly mounts: readonly MountView[];
  readonly capabilities: Readonly<
    Record<"effective" | "permitted" | "inheritable" | "bounding" | "ambient", readonly string[]>
  >;
  readonly seccomp: { readonly mode: "off" | "strict" | "filter"; readonly filters: number };
  readonly noNewPrivileges: boolean;
}

/** Read it from /proc and the cgroup file systems. `others` are containers that may share namespaces. Throws ENOENT where it is gone. */
export function viewProcess(pid: number, others: readonly Other[]): ProcessView {
  const status = parseStatus(readFileSync(`/proc/${pid}/status`, "utf8"));
  const number = (key: string) => Number.parseInt(status.get(key) ?? "0", 10);
  const capabilities = (key: string) => capabilityNames(BigInt(`0x${status.get(key) ?? "0"}`));
  return {
    pid,
    pidsInside: (status.get("NSpid") ?? "").split(/\s+/).map(Number),
    uid: number("Uid"),
    gid: number("Gid"),
    namespaces: viewNamespaces(pid, others),
    cgroups: viewCgroups(pid),
    mounts: parseMountinfo(readFileSync(`/proc/${pid}/mountinfo`, "utf8")),
    capabilities: {
      effective: capabilities("CapEff"),
      permitted: capabilities("CapPrm"),
      inheritable: capabilities("CapInh"),
      bounding: capabilities("CapBnd"),
      ambient: capabilities("CapAmb"),
    },
    seccomp: {
      mode: (["off", "strict", "filter"] as const)[number("Seccomp")] ?? "off",
      filters: number("Seccomp_filters"),
    },
    noNewPrivileges: number("NoNewPrivs") === 1,
  };
}

type Other = { readonly name: string; readonly pid: number };

function viewNamespaces(pid: number, others: readonly Other[]): NamespaceView[] {
  return (Object.keys(NAMESPACES) as (keyof typeof NAMESPACES)[]).flatMap((kind): NamespaceView[] => {
    const inode = inodeOf(pid, kind);
    if (inode === undefined) return []; // this kernel has none of that kind
    if (inode === inodeOf("self", kind)) return [{ kind, inode, relation: "host", with: [] }];
    const sharing = others.filter((other) => other.pid !== pid && inodeOf(other.pid, kind) === inode);
    return [{ kind, inode, relation: sharing.length > 0 ? "shared" : "own", with: sharing.map(({ name }) => name) }];
  });
}

function inodeOf(pid: number | "self", kind: keyof typeof NAMESPACES): number | undefined {
  try {
    return statSync(`/proc/${pid}/ns/${NAMESPACES[kind]}`).ino;
  } catch {
    return undefined;
  }
}

const LIMIT_FILES = [
  ...[
    "memory.max",
    "memory.high",
    "memory.low",
    "memory.min",
    "memory.swap.max",
    "cpu.max",
    "cpu.weight",
    "pids.max",
    "cpuset.cpus",
    "io.max",
  ],
  ...[
    "memory.limit_in_bytes",
    "memory.soft_limit_in_bytes",
    "cpu.cfs_quota_us",
    "cpu.cfs_period_us",
    "cpu.shares",
    "cgroup.freeze",
  ],
];
const USAGE_FILES = [
  ...[
    "memory.current",
    "memory.peak",
    "memory.swap.current",
    "pids.current",
    "cpu.stat",
    "memory.usage_in_bytes",
    "cpuacct.usage",
  ],
];

function viewCgroups(pid: number): CgroupView[] {
  const { hierarchies, unified } = detectCgroups({ selfCgroup: readFileSync(`/proc/${pid}/cgroup`, "utf8") });
  const all = [
    ...(unified === undefined ? [] : [{ ...unified, hierarchy: "unified" }]),
    ...hierarchies.map((each) => ({ ...each, hierarchy: each.controllers.join(",") })),
  ];
  return all.map(({ hierarchy, mountPoint, ownPath }) => {
    const directory = join(mountPoint, ownPath);
    return { hierarchy, directory, limits: readAll(directory, LIMIT_FILES), usage: readAll(directory, USAGE_FILES) };
  });
}

function readAll(directory: string, files: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    files.flatMap((file) => {
      try {
        const text = readFileSync(join(directory, file), "utf8").trim();
        return text === "" ? [] : [[file, text]];
      } catch {
        return []; // not this hierarchy's
      }
    }),
  );
}

function parseStatus(text: string): Map<string, string> {
  return new Map(
    text.split("\n").flatMap((line) => {
      const colon = line.indexOf(":");
      return colon < 0 ? [] : [[line.slice(0, colon), line.slice(colon + 1).trim()] as const];
    }),
  );
}

/** Lines as proc_pid_mountinfo(5) has them. */
export function parseMountinfo(text: string): MountView[] {
  return text.split("\n").flatMap((line) => {
    const [left = "", right = ""] = line.split(" - ");
    const [, , , , target, options = ""] = left.split(" ");
    const [type = "", source = "", superOptions = ""] = right.split(" ");
    if (target === undefined) return [];
    const all = [...options.split(","), ...superOptions.split(",")].filter(
      (each, i, list) => each !== "" && list.indexOf(each) === i,
    );
    return [{ target: unescapeOctal(target), type, source: unescapeOctal(source), options: all }];
  });
}
