/** One entry of `mounts`. */
export interface MountEntry {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

/** The part of config.json that attacks change. */
export interface Config {
  ociVersion: string;
  process: {
    terminal: boolean;
    user: { uid: number; gid: number; additionalGids?: number[] };
    args: string[];
    env: string[];
    cwd: string;
    capabilities: Record<"bounding" | "effective" | "permitted" | "inheritable" | "ambient", string[]>;
    noNewPrivileges: boolean;
    apparmorProfile?: string;
  };
  root: { path: string; readonly: boolean };
  mounts: MountEntry[];
  hostname: string;
  annotations: Record<string, string>;
  linux: {
    namespaces: { type: string; path?: string }[];
    maskedPaths: string[];
    readonlyPaths: string[];
    sysctl: Record<string, string>;
    uidMappings?: { containerID: number; hostID: number; size: number }[];
    gidMappings?: { containerID: number; hostID: number; size: number }[];
  };
}

const CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "MKNOD", "SETGID", "SETUID", "SETPCAP", "SYS_CHROOT", "KILL"];

/** A mount that is no bind. */
export function mount(destination: string, type: string, ...options: string[]): MountEntry {
  return { destination, type, source: type, options };
}

/** A recursive bind of a host path. */
export function bind(source: string, destination: string, ...options: string[]): MountEntry {
  return { destination, type: "bind", source, options: ["rbind", ...options] };
}

/** An ordinary container: namespaces of its own, masks, the capabilities that ctr gives less those no attack here needs. */
export function baseConfig(args: readonly string[]): Config {
  const capabilities = () => CAPABILITIES.map((name) => `CAP_${name}`);
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: [...args],
      env: ["PATH=/bin"],
      cwd: "/",
      capabilities: {
        bounding: capabilities(),
        effective: capabilities(),
        permitted: capabilities(),
        inheritable: [],
        ambient: [],
      },
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: false },
    mounts: [
      mount("/proc", "proc"),
      mount("/dev", "tmpfs", "mode=755"),
      mount("/dev/pts", "devpts", "newinstance", "ptmxmode=0666"),
    ],
    hostname: "attacked",
    annotations: {},
    linux: {
      namespaces: ["pid", "ipc", "uts", "mount", "network"].map((type) => ({ type })),
      maskedPaths: ["/proc/kcore", "/proc/keys"],
      readonlyPaths: ["/proc/sys"],
      sysctl: {},
    },
  };
}
