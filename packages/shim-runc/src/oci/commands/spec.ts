import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Command } from "../context.ts";
import type { Caller } from "../rootless.ts";

/** Write a config.json to begin with. Refuses to replace one. */
export const spec: Command = async ({ cwd, caller }, flags) => {
  const path = join(resolve(cwd, flags.text("bundle") ?? "."), "config.json");
  if (existsSync(path)) throw new Error(`File ${path} exists. Remove it first`);
  writeFileSync(path, `${JSON.stringify(flags.has("rootless") ? rootlessSpec(caller) : firstSpec(), undefined, 2)}\n`, {
    mode: 0o666,
  });
  return 0;
};

/** The same for somebody without privileges: in a user namespace, with the host's network, and without a cgroup. */
export function rootlessSpec({ uid, gid }: Pick<Caller, "uid" | "gid">) {
  const { linux, mounts, ...rest } = firstSpec();
  const { resources: _, namespaces, ...others } = linux;
  return {
    ...rest,
    mounts: mounts.map((mount) => {
      if (mount.destination === "/dev/pts")
        // no group but one's own is mapped
        return { ...mount, options: mount.options.filter((option) => !option.startsWith("gid=")) };
      if (mount.destination !== "/sys") return mount;
      return { ...mount, type: "none", source: "/sys", options: ["rbind", "nosuid", "noexec", "nodev", "ro"] }; // sysfs goes with a network namespace
    }),
    linux: {
      ...others,
      namespaces: [...namespaces.filter(({ type }) => type !== "network"), { type: "user" }],
      uidMappings: [{ containerID: 0, hostID: uid, size: 1 }],
      gidMappings: [{ containerID: 0, hostID: gid, size: 1 }],
    },
  };
}

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
