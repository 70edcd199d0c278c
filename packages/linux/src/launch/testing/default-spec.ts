/** config.json as `ctr` makes it (containerd 1.6), as plain objects that a test may change. */
export function defaultSpec(args: readonly string[]) {
  const caps = [
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
  ]
    .concat(["NET_BIND_SERVICE", "SYS_CHROOT", "KILL", "AUDIT_WRITE"])
    .map((name) => `CAP_${name}`);
  const own = ["nosuid", "noexec", "nodev"];
  const mount = (destination: string, type: string, source: string, ...options: string[]) => ({
    destination,
    type,
    source,
    options,
  });
  return {
    ociVersion: "1.0.2-dev",
    process: {
      user: { uid: 0, gid: 0 },
      args: [...args],
      env: ["PATH=/usr/bin:/bin"],
      cwd: "/",
      capabilities: { bounding: caps, effective: caps, permitted: caps },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs" },
    mounts: [
      mount("/proc", "proc", "proc", ...own),
      mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
      mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
      mount("/dev/shm", "tmpfs", "shm", ...own, "mode=1777", "size=65536k"),
      mount("/dev/mqueue", "mqueue", "mqueue", ...own),
      mount("/sys", "sysfs", "sysfs", ...own, "ro"),
      mount("/run", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
    ],
    linux: {
      namespaces: ["pid", "ipc", "uts", "mount", "network"].map((type) => ({ type })),
      maskedPaths: ["acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug"]
        .map((name) => `/proc/${name}`)
        .concat(["/sys/firmware", "/proc/scsi"]),
      readonlyPaths: ["bus", "fs", "irq", "sys", "sysrq-trigger"].map((name) => `/proc/${name}`),
    },
  };
}
