import { accessSync, constants, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type CgroupHost, detectCgroups } from "../cgroup/host.ts";
import { type DoctorCheck, toCheck } from "./check.ts";

/** Controllers that limits of containers need. */
const CONTROLLERS = ["cpu", "memory", "pids", "cpuset", "io"] as const;

/** The cgroup mode, its controllers, who manages it, and what of it is missing. */
export function checkCgroups(): DoctorCheck[] {
  const group = "cgroups";
  let host: CgroupHost;
  try {
    host = detectCgroups();
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    return [{ group, name: "mode", status: "problem", found, fix: "mount -t cgroup2 none /sys/fs/cgroup" }];
  }
  const controllers = controllersOf(host);
  const missing = CONTROLLERS.filter((name) => !controllers.has(name) && !(name === "io" && controllers.has("blkio")));
  const { unified, root } = host;
  const killFile = unified && join(unified.mountPoint, unified.ownPath, "cgroup.kill");
  const hasSystemd = existsSync("/run/systemd/system");
  return [
    { group, name: "mode", status: "ok", found: `${host.mode}, at ${root}` },
    toCheck({ group, name: "writable", found: isWritable(root) ? "yes" : "no" }, isWritable(root), {
      status: "problem",
      fix: "run as root, on the host or in a privileged container",
    }),
    toCheck({ group, name: "controllers", found: [...controllers].join(" ") }, missing.length === 0, {
      status: "note",
      fix: `limits of ${missing.join(", ")} do not work: boot with cgroup_enable=${missing.join(" cgroup_enable=")}`,
    }),
    {
      group,
      name: "driver",
      status: "ok",
      found: hasSystemd
        ? "cgroupfs or systemd (SystemdCgroup = true): as the kubelet has it"
        : "cgroupfs: systemd does not run here",
    },
    ...(killFile === undefined || unified?.ownPath === "/"
      ? []
      : [
          toCheck(
            { group, name: "cgroup.kill", found: existsSync(killFile) ? "there" : "none" },
            existsSync(killFile),
            {
              status: "note",
              fix: "a kernel of 5.14 or later; until then processes are killed one by one",
            },
          ),
        ]),
  ];
}

function controllersOf({ hierarchies, unified }: CgroupHost): Set<string> {
  const listed = unified === undefined ? "" : (read(join(unified.mountPoint, "cgroup.controllers")) ?? "");
  return new Set([...hierarchies.flatMap(({ controllers }) => controllers), ...listed.split(/\s+/)].filter(Boolean));
}

/** Limits of the host that many containers meet. Source: what each container takes: see the fixes. */
const LIMITS: readonly {
  readonly name: string;
  readonly file: string;
  readonly atLeast: number;
  readonly why: string;
}[] = [
  { name: "pids", file: "kernel/pid_max", atLeast: 65_536, why: "of all containers together" },
  { name: "threads", file: "kernel/threads-max", atLeast: 65_536, why: "of all containers together" },
  { name: "open files", file: "fs/file-max", atLeast: 262_144, why: "of all containers together" },
  {
    name: "inotify instances",
    file: "fs/inotify/max_user_instances",
    atLeast: 1024,
    why: "a pod's OOM watch and its FIFOs take some each",
  },
  { name: "inotify watches", file: "fs/inotify/max_user_watches", atLeast: 65_536, why: "of all processes of root" },
  { name: "session keyrings", file: "kernel/keys/root_maxkeys", atLeast: 10_000, why: "a container takes one" },
  {
    name: "keyrings of a user",
    file: "kernel/keys/maxkeys",
    atLeast: 1000,
    why: "a container with a user namespace takes one of its root's",
  },
  { name: "network namespaces", file: "user/max_net_namespaces", atLeast: 1000, why: "a pod takes one" },
  { name: "mount namespaces", file: "user/max_mnt_namespaces", atLeast: 1000, why: "a container takes one" },
];

/** Limits of the host. `sysctls` is where they are, /proc/sys by default. */
export function checkLimits(sysctls = "/proc/sys"): DoctorCheck[] {
  const group = "limits";
  const own = LIMITS.flatMap(({ name, file, atLeast, why }): DoctorCheck[] => {
    const value = Number(read(join(sysctls, file))?.trim());
    if (Number.isNaN(value)) return [];
    const fix = `sysctl -w ${file.replaceAll("/", ".")}=${atLeast}: ${why}`;
    return [toCheck({ group, name, found: String(value) }, value >= atLeast, { status: "note", fix })];
  });
  const [, hard = ""] = /^Max open files\s+\S+\s+(\S+)/m.exec(read("/proc/self/limits") ?? "") ?? [];
  const enough = hard === "unlimited" || Number(hard) >= 65_536;
  return [
    ...own,
    toCheck({ group, name: "open files of a process", found: hard }, enough, {
      status: "note",
      fix: "LimitNOFILE=1048576 in the daemon's unit",
    }),
  ];
}

function isWritable(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
