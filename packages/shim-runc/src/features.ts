import { HOOK_KINDS, MEMORY_POLICY_FLAG, MEMORY_POLICY_MODE } from "@trimaran/linux";

/**
 * What this runtime knows, as the OCI features document: from tables in the code, not from the host.
 * Source: OCI runtime spec 1.3, features.md and features-linux.md.
 */
export function features(): unknown {
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: "1.3.0",
    hooks: HOOK_KINDS,
    mountOptions: MOUNT_OPTIONS,
    linux: {
      namespaces: ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: false, rdma: true },
      seccomp: { enabled: true },
      apparmor: { enabled: true },
      selinux: { enabled: true },
      intelRdt: { enabled: true, schemata: true, monitoring: true },
      memoryPolicy: { modes: [...MEMORY_POLICY_MODE.keys()], flags: [...MEMORY_POLICY_FLAG.keys()] },
      mountExtensions: { idmap: { enabled: true } },
      netDevices: { enabled: true },
    },
  };
}

const MOUNT_OPTIONS = [
  ...["async", "atime", "bind", "defaults", "dev", "diratime", "dirsync", "exec", "idmap", "lazytime", "noatime"],
  ...["nodev", "nodiratime", "noexec", "nolazytime", "norelatime", "nostrictatime", "nosuid", "nosymfollow"],
  ...["private", "rbind", "relatime", "remount", "ridmap", "ro", "rprivate", "rro", "rrw", "rshared", "rslave"],
  ...["runbindable", "rw", "shared", "silent", "slave", "strictatime", "suid", "symfollow", "sync", "tmpcopyup"],
  "unbindable",
];
