/** What a container is to run. */
export interface BundleOptions {
  readonly namespace: string;
  readonly id: string;
  readonly args: readonly string[];
  readonly terminal?: boolean;
  /** Entries of `annotations`, `io.kubernetes.cri.sandbox-id` say. */
  readonly annotations?: Readonly<Record<string, string>>;
  /** Path of one to join. Default: a new one. */
  readonly networkNamespace?: string;
  /** `root.path`. Default: the bundle's own rootfs, on which Create's mounts lie. */
  readonly rootPath?: string;
  /** Added to `linux.resources`, which has device rules and 1024 shares. */
  readonly resources?: object;
  /** Added to `mounts`, which are those of `ctr run`. */
  readonly mounts?: readonly object[];
  /** `linux.cgroupsPath`. Default: as ctr has it, `/NAMESPACE/ID`. */
  readonly cgroupsPath?: string;
  /** No PID namespace of its own. */
  readonly hostPids?: boolean;
  /** Added to `process`, and to `linux`. */
  readonly process?: object;
  readonly linux?: object;
  /** Types added to `linux.namespaces`, which are those of `ctr run`: all but cgroup, user and time. */
  readonly namespaces?: readonly string[];
}

const CAPABILITIES = [
  ..."CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP".split(" "),
  ..."SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE".split(" "),
].map((name) => `CAP_${name}`);

/** An OCI process as `ctr task exec` makes it from the container's spec. */
export function ociProcess(args: readonly string[], terminal = false) {
  return {
    terminal,
    user: { uid: 0, gid: 0, additionalGids: [0] },
    args,
    env: ["PATH=/usr/local/bin:/usr/bin:/bin", ...(terminal ? ["TERM=xterm"] : [])],
    cwd: "/",
    capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
    rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
    noNewPrivileges: true,
  };
}

/** The spec that `ctr run` writes for an ordinary container: the same mounts, masks, device rules and namespaces. */
export function ociSpec(options: BundleOptions) {
  const { namespace, id, args, terminal, annotations, networkNamespace } = options;
  const { resources, mounts = [], namespaces = [] } = options;
  const secret = ["nosuid", "noexec", "nodev"];
  const mount = (destination: string, type: string, options: readonly string[]) => ({
    destination,
    type,
    source: type,
    options,
  });
  const character = (major: number, minor: number) => ({ allow: true, type: "c", major, minor, access: "rwm" });
  return {
    ociVersion: "1.0.2-dev",
    process: { ...ociProcess(args, terminal), ...options.process },
    root: { path: options.rootPath ?? "rootfs" },
    mounts: [
      mount("/proc", "proc", secret),
      mount("/dev", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
      mount("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]),
      mount("/dev/shm", "tmpfs", [...secret, "mode=1777", "size=65536k"]),
      mount("/dev/mqueue", "mqueue", secret),
      mount("/sys", "sysfs", [...secret, "ro"]),
      mount("/run", "tmpfs", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
      ...mounts,
    ],
    ...(annotations && { annotations }),
    linux: {
      resources: {
        devices: [
          { allow: false, access: "rwm" },
          ...[
            [1, 3],
            [1, 8],
            [1, 7],
            [5, 0],
            [1, 5],
            [1, 9],
            [5, 1],
            [5, 2],
          ].map(([a = 0, b = 0]) => character(a, b)),
          { allow: true, type: "c", major: 136, access: "rwm" },
        ],
        cpu: { shares: 1024 },
        ...resources,
      },
      cgroupsPath: options.cgroupsPath ?? `/${namespace}/${id}`,
      namespaces: [
        ...[...(options.hostPids === true ? [] : ["pid"]), "ipc", "uts", "mount", ...namespaces].map((type) => ({
          type,
        })),
        { type: "network", ...(networkNamespace !== undefined && { path: networkNamespace }) },
      ],
      maskedPaths: [
        "acpi",
        "asound",
        "kcore",
        "keys",
        "latency_stats",
        "timer_list",
        "timer_stats",
        "sched_debug",
        "scsi",
      ]
        .map((name) => `/proc/${name}`)
        .concat("/sys/firmware"),
      readonlyPaths: ["bus", "fs", "irq", "sys", "sysrq-trigger"].map((name) => `/proc/${name}`),
      ...options.linux,
    },
  };
}
