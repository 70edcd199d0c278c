/** What a part of a launch program is about, in the order in which a reader wants to hear of it. */
export type StepGroup =
  | "shim"
  | "stdio"
  | "namespaces"
  | "cgroup"
  | "root filesystem"
  | "mounts"
  | "devices"
  | "hidden paths"
  | "kernel parameters"
  | "limits"
  | "user"
  | "capabilities"
  | "seccomp"
  | "security labels"
  | "process"
  | "hooks"
  | "start gate"
  | "exec";

/** One sentence for each. */
export const GROUP_PURPOSE: Readonly<Record<StepGroup, string>> = {
  shim: "what the shim needs for itself, done by the monitor",
  stdio: "the pipes, FIFOs or terminal that become 0, 1 and 2",
  namespaces: "what of the kernel's tables the process sees: its own, or those of somebody it joins",
  cgroup: "the process is counted and limited from its first instruction",
  "root filesystem":
    "the image as detached mounts, which become / by pivot_root: the host's mount table learns nothing of it",
  mounts: "what config.json puts over the image, each target resolved inside of the new root",
  devices: "the nodes and links that programs expect in /dev, and the console",
  "hidden paths": "what of /proc and /sys a container must not read or write",
  "kernel parameters": "sysctls that belong to the new namespaces",
  limits: "rlimits, scheduling and memory policy of the process",
  user: "who the process is; after this it has no way back",
  capabilities: "what of root's power is left",
  seccomp: "which system calls are left",
  "security labels": "AppArmor or SELinux, from the next execve on",
  process: "session, descriptors, directory and environment of the process",
  hooks: "programs of config.json that run at this moment",
  "start gate": "Create ends here; Start opens the gate",
  exec: "the program itself",
};

/** By how a field begins; the first match counts. */
const BY_FIELD: readonly (readonly [RegExp, StepGroup])[] = [
  [/^(prelude|oom watch|options |share\b|shim|socket |checkpoint)/, "shim"],
  [/^(stdin|stdout|stderr|stdio|--preserve-fds)/, "stdio"],
  [
    /^(linux\.(namespaces|uidMappings|gidMappings|timeOffsets|netDevices)|init's namespaces|hostname|domainname)/,
    "namespaces",
  ],
  [/^linux\.cgroupsPath/, "cgroup"],
  [/^(rootfs\[|root\b|linux\.rootfsPropagation)/, "root filesystem"],
  [/^mounts\b/, "mounts"],
  [/^(\/dev|linux\.devices|default device|process\.terminal)/, "devices"],
  [/^linux\.(maskedPaths|readonlyPaths)/, "hidden paths"],
  [/^linux\.sysctl/, "kernel parameters"],
  [/^(process\.(rlimits|oomScoreAdj|scheduler|ioPriority|execCPUAffinity)|linux\.(memoryPolicy|intelRdt))/, "limits"],
  [/^process\.user/, "user"],
  [/^process\.capabilities/, "capabilities"],
  [/^(linux\.seccomp|process\.noNewPrivileges)/, "seccomp"],
  [/^process\.(apparmorProfile|selinuxLabel)/, "security labels"],
  [/^hooks/, "hooks"],
  [/^start/, "start gate"],
  [/^process\.args/, "exec"],
];

/** Steps of `process` that are about something else. */
const BY_CALL: Readonly<Record<string, StepGroup>> = {
  CLONE: "namespaces",
  setns: "namespaces",
  unshare: "namespaces",
  sched_setaffinity: "limits",
  pivot_root: "root filesystem",
};

/** The group of a step, by the field that it serves and the system call or operation that it is. */
export function groupOf(field: string, call: string): StepGroup {
  const byCall = BY_CALL[call];
  if (byCall !== undefined) return byCall;
  return BY_FIELD.find(([pattern]) => pattern.test(field))?.[1] ?? "process";
}
