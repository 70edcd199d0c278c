import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "../context.ts";
import { UsageError } from "../flags.ts";

/** Write a config.json to begin with. Refuses to replace one. */
export const spec: Command = async ({ cwd }, flags) => {
  if (flags.has("rootless")) throw new UsageError("spec: --rootless is not supported");
  const path = join(resolve(cwd, flags.text("bundle") ?? "."), "config.json");
  if (existsSync(path)) throw new Error(`File ${path} exists. Remove it first`);
  writeFileSync(path, `${JSON.stringify(firstSpec(), undefined, 2)}\n`, { mode: 0o666 });
  return 0;
};

/** A shell on a terminal, in namespaces of its own, that may do little. */
export function firstSpec() {
  const capabilities = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
  const own = ["nosuid", "noexec", "nodev"];
  const mount = (destination: string, type: string, source: string, ...options: string[]) => ({
    destination,
    type,
    source,
    options,
  });
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "trimaran",
    mounts: [
      mount("/proc", "proc", "proc"),
      mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
      mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
      mount("/dev/shm", "tmpfs", "shm", ...own, "mode=1777", "size=65536k"),
      mount("/dev/mqueue", "mqueue", "mqueue", ...own),
      mount("/sys", "sysfs", "sysfs", ...own, "ro"),
      mount("/sys/fs/cgroup", "cgroup", "cgroup", ...own, "relatime", "ro"),
    ],
    linux: {
      resources: { devices: [{ allow: false, access: "rwm" }] },
      namespaces: ["pid", "network", "ipc", "uts", "mount", "cgroup"].map((type) => ({ type })),
      maskedPaths: [
        ...["acpi", "asound", "kcore", "keys", "latency_stats", "timer_list", "timer_stats", "sched_debug"].map(
          (name) => `/proc/${name}`,
        ),
        ...["/proc/scsi", "/sys/firmware"],
      ],
      readonlyPaths: ["bus", "fs", "irq", "sys", "sysrq-trigger"].map((name) => `/proc/${name}`),
    },
  };
}
