import { join } from "node:path";

/** A containerd release line that the tests run on: Debian 12's own, and Debian's newest. */
export type EngineVersion = "1.6" | "2.x";

/** Which daemon runs: containerd of the release line, or our own, which that line's `ctr` then talks to. */
export type EngineDaemon = "containerd" | "trimaran";

/** The choices in a containerd's configuration. */
export interface ConfigOptions {
  readonly version: EngineVersion;
  /** Folder for everything of that containerd; its path is short, because sockets live in it. */
  readonly dir: string;
  /** Load the CRI plugin. Default: false. */
  readonly cri?: boolean;
  /** Load the tracing plugins: OpenTelemetry's variables in the engine's environment name a collector. Default: false. */
  readonly tracing?: boolean;
  /** Runtimes that CRI knows by handler name. The first one is its default. */
  readonly runtimes?: Readonly<Record<string, RuntimeHandler>>;
  /** TOML of further tables, as documents have it. */
  readonly tables?: string;
  /** CRI's pause image; must be imported. */
  readonly sandboxImage?: string;
}

/** What a RuntimeClass's `handler` names. */
export interface RuntimeHandler {
  /** `runtime_type`. */
  readonly type: string;
  /** TOML of its `options` table. */
  readonly options?: string;
  /** `runtime_path`: its shim, whatever the type says. */
  readonly path?: string;
  /** Who keeps its pods, in containerd 2.x: containerd with a pause container, or the shim. Default: podsandbox. */
  readonly sandboxer?: "podsandbox" | "shim";
}

/** The text of config.toml: config version 2 for 1.6, 3 for 2.x. */
export function configToml(options: ConfigOptions): string {
  const { dir } = options;
  return `version = ${options.version === "1.6" ? 2 : 3}
root = "${dir}/root"
state = "${dir}/state"
temp = "${dir}/tmp"
disabled_plugins = [${disabled(options).join(", ")}]

[grpc]
address = "${dir}/c.sock"

[debug]
level = "debug"

[plugins."io.containerd.internal.v1.opt"]
path = "${dir}/opt"
${options.cri === true ? criToml(options) : ""}`;
}

/** How long ExecSync of containerd 2.x waits for output that a child of the command holds open; by default as long as it does, and 1.6 has no other way. */
export const EXEC_DRAIN_S = 3;

/** Of Debian's containernetworking-plugins. */
const CNI_PLUGINS = "/usr/lib/cni";

/** Plugins that touch the host outside our folders, or only cost time. */
function disabled({ version, cri, tracing }: ConfigOptions): string[] {
  const either = [
    "snapshotter.v1.btrfs",
    "snapshotter.v1.zfs",
    "snapshotter.v1.devmapper",
    ...(tracing === true ? [] : ["internal.v1.tracing", "tracing.processor.v1.otlp"]),
  ];
  const old = ["snapshotter.v1.aufs", ...(cri === true ? [] : ["grpc.v1.cri"])];
  // NRI listens on /var/run/nri/nri.sock, whatever the state folder is
  const criParts = ["grpc.v1.cri", "cri.v1.images", "cri.v1.runtime", "podsandbox.controller.v1.podsandbox"];
  const recent = [
    "nri.v1.nri",
    "snapshotter.v1.erofs",
    "differ.v1.erofs",
    "snapshotter.v1.blockfile",
    ...(cri === true ? [] : criParts),
  ];
  return [...either, ...(version === "1.6" ? old : recent)].map((name) => `"io.containerd.${name}"`);
}

/**
 * CRI with Debian's CNI plugins: what lies in the folder `cni/conf` decides what pods get; without, only those of the host's network work.
 * `restrict_oom_score_adj` because without CAP_SYS_RESOURCE the
 * kernel refuses the negative scores that CRI asks for.
 */
function criToml({ version, dir, runtimes = {}, tables: further = "", sandboxImage = "" }: ConfigOptions): string {
  const plugin = version === "1.6" ? "io.containerd.grpc.v1.cri" : "io.containerd.cri.v1.runtime";
  const names = Object.keys(runtimes);
  const tables = names.map(
    (name) => `
[plugins."${plugin}".containerd.runtimes."${name}"]
runtime_type = "${runtimes[name]?.type}"
pod_annotations = ["dev.gvisor.*"]
${runtimes[name]?.path === undefined ? "" : `runtime_path = "${runtimes[name].path}"`}
${runtimes[name]?.sandboxer === undefined ? "" : `sandboxer = "${runtimes[name].sandboxer}"`}
[plugins."${plugin}".containerd.runtimes."${name}".options]
${runtimes[name]?.options ?? ""}
`,
  );
  const image = version === "1.6" ? `sandbox_image = "${sandboxImage}"` : "";
  const images =
    version === "1.6"
      ? ""
      : `
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "${sandboxImage}"
`;
  const stream = version === "1.6" ? plugin : "io.containerd.grpc.v1.cri";
  return `
[plugins."${plugin}"]
restrict_oom_score_adj = true
${version === "1.6" ? "" : `drain_exec_sync_io_timeout = "${EXEC_DRAIN_S}s"`}
${image}
${stream === plugin ? 'stream_server_address = "127.0.0.1"\nstream_server_port = "0"\n' : ""}
[plugins."${plugin}".cni]
${version === "1.6" ? `bin_dir = "${CNI_PLUGINS}"` : `bin_dirs = ["${CNI_PLUGINS}"]`}
conf_dir = "${join(dir, "cni/conf")}"

[plugins."${plugin}".containerd]
default_runtime_name = "${names[0] ?? "runc"}"
${tables.join("")}${images}${further}`;
}
