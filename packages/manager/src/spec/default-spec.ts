import type { OciMount, OciSpec } from "./oci-spec.ts";

/** The host's facts that a default spec depends on. */
export interface SpecHost {
  /** Whether the unified hierarchy is the only one: then the container gets a cgroup namespace of its own. */
  readonly cgroupV2: boolean;
}

/** containerd's default capabilities, without their CAP_. */
const DEFAULT_CAPABILITIES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FSETID",
  "FOWNER",
  "MKNOD",
  "NET_RAW",
  "SETGID",
  "SETUID",
  "SETFCAP",
  "SETPCAP",
  "NET_BIND_SERVICE",
  "SYS_CHROOT",
  "KILL",
  "AUDIT_WRITE",
].map((name) => `CAP_${name}`);

const MASKED_PATHS = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/sys/firmware",
  "/proc/scsi",
];

const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** What `ctr` gives a container of that namespace and id: same mounts, capabilities, masks and limits, no args yet. */
export function defaultSpec(namespace: string, id: string, host: SpecHost): OciSpec {
  const capabilities = () => [...DEFAULT_CAPABILITIES];
  const namespaces = ["pid", "ipc", "uts", "mount", "network", ...(host.cgroupV2 ? ["cgroup"] : [])];
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: [],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
      cwd: "/",
      capabilities: { bounding: capabilities(), effective: capabilities(), permitted: capabilities() },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: false },
    mounts: defaultMounts(),
    linux: {
      resources: { devices: [{ allow: false, access: "rwm" }] },
      cgroupsPath: `/${namespace}/${id}`,
      namespaces: namespaces.map((type) => ({ type })),
      maskedPaths: [...MASKED_PATHS],
      readonlyPaths: [...READONLY_PATHS],
    },
  };
}

function defaultMounts(): OciMount[] {
  const tmpfs = ["nosuid", "strictatime", "mode=755", "size=65536k"];
  const quiet = ["nosuid", "noexec", "nodev"];
  return [
    { destination: "/proc", type: "proc", source: "proc", options: [...quiet] },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: [...tmpfs] },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...quiet, "mode=1777", "size=65536k"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: [...quiet] },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: [...quiet, "ro"] },
    { destination: "/run", type: "tmpfs", source: "tmpfs", options: [...tmpfs] },
  ];
}
