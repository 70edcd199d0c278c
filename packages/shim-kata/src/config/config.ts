import { existsSync } from "node:fs";
import { availableParallelism, totalmem } from "node:os";
import { ANY, runtimeoptions } from "@trimaran/proto";
import { type CreateRequest, readOptionsFile } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { parseAnnotations } from "./annotations.ts";
import { parseSettings, type Settings } from "./settings.ts";
import { flag, integer, oneOf, text, texts } from "./values.ts";

/** Read, the first that exists, where no option names another file or brings a table. */
const DEFAULT_FILES: readonly string[] = ["/etc/trimaran/kata.toml"];
/** The types that shims for Kata go by in containerd's configuration. */
const OPTIONS_TYPES: ReadonlySet<string> = new Set([
  "",
  "io.containerd.trimaran-kata.v2.options",
  "io.containerd.kata.v2.options",
]);
const LEAST_MEMORY_MIB = 128;
const MOST_VCPUS = 240;

/** What an operator may set, with every default filled in. Names and units: see `KEYS`. */
export interface KataConfig {
  readonly qemuPath: string;
  readonly accelerator: "auto" | "kvm" | "tcg";
  /** Files of the operator's own instead of the built image. */
  readonly ownImage: { readonly kernel: string; readonly initrd: string; readonly disk: string } | undefined;
  readonly kernelParams: string;
  readonly vcpus: number;
  readonly maxVcpus: number;
  readonly memoryMiB: number;
  readonly maxMemoryMiB: number;
  readonly virtiofsd: { readonly path: string; readonly cache: string; readonly extraArgs: readonly string[] };
  readonly kernelDebug: boolean;
  readonly template: { readonly enabled: boolean /** Empty: the default. */; readonly path: string };
  readonly debugConsole: boolean;
  readonly dialTimeoutMs: number;
  /** Every value that was set, and by what. */
  readonly settings: Settings;
}

/**
 * The configuration of a pod: the file (containerd's ConfigPath or ConfigBody, else the default one), and over it the pod's annotations.
 * Throws InvalidArgument on a type, a file, a key or a value that is not known.
 */
export function parseConfig(
  options: CreateRequest["options"],
  annotations: Readonly<Record<string, string>> = {},
  defaultFiles = DEFAULT_FILES,
): KataConfig {
  const layers = options.flatMap((option) => decode(option) ?? []);
  if (layers.length === 0) layers.push(...defaultFiles.filter(existsSync).slice(0, 1).map(readSettings));
  const file: Settings = new Map(layers.flatMap((layer) => [...layer]));
  const enabled = texts(file, "hypervisor.qemu.enable_annotations");
  checkPatterns(file, enabled);
  return toConfig(new Map([...file, ...parseAnnotations(annotations, enabled)]));
}

function toConfig(settings: Settings): KataConfig {
  const hostMiB = Math.floor(totalmem() / 2 ** 20);
  const maxVcpus = integer(settings, "hypervisor.qemu.default_maxvcpus", 0, MOST_VCPUS) || availableParallelism();
  const maxMemoryMiB = integer(settings, "hypervisor.qemu.default_maxmemory", 0, hostMiB) || hostMiB;
  const vcpus = integer(settings, "hypervisor.qemu.default_vcpus", -1, MOST_VCPUS);
  oneOf(settings, "hypervisor.qemu.shared_fs", ["virtio-serial"]);
  return {
    qemuPath: text(settings, "hypervisor.qemu.path"),
    accelerator: oneOf(settings, "hypervisor.qemu.accelerator", ["auto", "kvm", "tcg"]),
    ownImage: ownImage(settings),
    kernelParams: text(settings, "hypervisor.qemu.kernel_params"),
    vcpus: Math.min(vcpus < 0 ? availableParallelism() : vcpus || 1, maxVcpus),
    maxVcpus,
    memoryMiB: integer(settings, "hypervisor.qemu.default_memory", LEAST_MEMORY_MIB, maxMemoryMiB),
    maxMemoryMiB,
    virtiofsd: {
      path: text(settings, "hypervisor.qemu.virtio_fs_daemon"),
      cache: oneOf(settings, "hypervisor.qemu.virtio_fs_cache", ["none", "auto", "always"]),
      extraArgs: texts(settings, "hypervisor.qemu.virtio_fs_extra_args"),
    },
    kernelDebug: flag(settings, "hypervisor.qemu.enable_debug"),
    template: {
      enabled: flag(settings, "factory.enable_template"),
      path: text(settings, "factory.template_path"),
    },
    debugConsole: flag(settings, "agent.kata.debug_console_enabled"),
    dialTimeoutMs: integer(settings, "agent.kata.dial_timeout", 1, 3600) * 1000,
    settings,
  };
}

/** Undefined: an option without a table. */
function decode({ typeUrl, value }: CreateRequest["options"][number]): Settings | undefined {
  if (value.length === 0 || typeUrl === ANY.runcOptions) return undefined; // ctr sends runc's for user namespaces, whatever the runtime
  if (typeUrl !== ANY.runtimeOptions)
    throw invalid(`options: type ${JSON.stringify(typeUrl)} is not one of this shim's`);
  const body = runtimeoptions.v1.Options.decode(value);
  if (!OPTIONS_TYPES.has(body.typeUrl))
    throw invalid(`options TypeUrl: ${JSON.stringify(body.typeUrl)} is not one of this shim's`);
  if (body.configPath !== "") return readSettings(body.configPath);
  if (body.configBody.length === 0) return undefined;
  return parseSettings("options", Buffer.from(body.configBody).toString());
}

function readSettings(path: string): Settings {
  return parseSettings(path, readOptionsFile(path));
}

/** All three or none: modules in an initrd are those of one kernel. */
function ownImage(settings: Settings): KataConfig["ownImage"] {
  const [kernel, initrd, disk] = (["kernel", "initrd", "image"] as const).map((name) =>
    text(settings, `hypervisor.qemu.${name}`),
  );
  if (!kernel && !initrd && !disk) return undefined;
  if (kernel && initrd && disk) return { kernel, initrd, disk };
  const set =
    settings.get("hypervisor.qemu.kernel") ??
    settings.get("hypervisor.qemu.image") ??
    settings.get("hypervisor.qemu.initrd");
  throw invalid(`${set?.source}: hypervisor.qemu: kernel, initrd and image go together; set all three or none`);
}

function checkPatterns(settings: Settings, patterns: readonly string[]): void {
  for (const pattern of patterns) {
    try {
      new RegExp(pattern);
    } catch {
      const source = settings.get("hypervisor.qemu.enable_annotations")?.source;
      throw invalid(
        `${source}: hypervisor.qemu.enable_annotations: ${JSON.stringify(pattern)} is no regular expression`,
      );
    }
  }
}

function invalid(message: string): StatusError {
  return new StatusError(Code.InvalidArgument, message);
}
