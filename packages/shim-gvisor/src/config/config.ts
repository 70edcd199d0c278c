import { existsSync } from "node:fs";
import { ANY, containerd, runtimeoptions } from "@trimaran/proto";
import { type CreateRequest, readOptionsFile } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { parseTable, type Setting, type Settings } from "./table.ts";

/** What an operator may set, with every default filled in. */
export interface GvisorConfig {
  /** A name that is looked up in PATH, or an absolute path. Default: `runsc`. */
  readonly binaryName: string;
  /** runsc's state lies in `root`/NAMESPACE. Default: as gVisor's own shim has it. */
  readonly root: string;
  /** Owner of the container's pipes; 0 to 2^32-2. */
  readonly ioUid: number;
  readonly ioGid: number;
  /** A cgroup for the monitor itself; empty: containerd's. */
  readonly shimCgroup: string;
  /** Flags of runsc, without dashes. What is not there is runsc's own default, except the platform: see `choosePlatform`. */
  readonly flags: ReadonlyMap<string, Setting>;
  /** Every value that was set, and by what, strongest last. */
  readonly settings: Settings;
}

/** The type that gVisor's own shim goes by in containerd's configuration. */
const OPTIONS_TYPE = "io.containerd.runsc.v1.options";
const DEFAULT_ROOT = "/run/containerd/runsc";
/** Read, the first that exists, where no option names another file or brings a table. Source: gVisor's shim; contract, section 6. */
const DEFAULT_FILES: readonly string[] = ["/run/containerd/runsc/config.toml", "/etc/containerd/runsc/config.toml"];

/**
 * Merge options key by key, later ones win. Throws InvalidArgument on a type, a file, a key or a value that is not known.
 * Source: contract, section 6.
 */
export function parseConfig(options: CreateRequest["options"], defaultFiles = DEFAULT_FILES): GvisorConfig {
  const layers = options.map(decode);
  if (!layers.some(({ isTable }) => isTable)) layers.unshift(defaultFile(defaultFiles));
  const settings: Settings = new Map(layers.flatMap((layer) => [...layer.settings]));
  const flags = new Map(
    [...settings].flatMap(([key, value]) => (key.startsWith("runsc_config.") ? [[key.slice(13), value] as const] : [])),
  );
  return {
    binaryName: text(settings, "binary_name") || "runsc",
    root: absolute(settings, "root") || DEFAULT_ROOT,
    ioUid: id(settings, "io_uid"),
    ioGid: id(settings, "io_gid"),
    shimCgroup: text(settings, "shim_cgroup"),
    flags,
    settings,
  };
}

interface Layer {
  readonly settings: Settings;
  /** A file or a body, which takes the place of the default file. */
  readonly isTable: boolean;
}

const NOTHING: Layer = { settings: new Map(), isTable: false };

function decode({ typeUrl, value }: CreateRequest["options"][number]): Layer {
  if (value.length === 0) return NOTHING;
  switch (typeUrl) {
    case ANY.runtimeOptions:
      return decodeRuntimeOptions(value);
    // ctr and CRI send these for user namespaces, whatever the runtime
    case ANY.runcOptions:
      return fromRunc(containerd.runc.v1.Options.decode(value));
    case ANY.oldRuncOptions:
      return fromRunc(containerd.linux.runc.CreateOptions.decode(value));
    default:
      throw invalid(`options: type ${JSON.stringify(typeUrl)} is not one of this shim's`);
  }
}

/** An unset field can't be told from its default. */
function fromRunc({ ioUid, ioGid, shimCgroup }: { ioUid: number; ioGid: number; shimCgroup: string }): Layer {
  const fields = { io_uid: ioUid, io_gid: ioGid, shim_cgroup: shimCgroup };
  const set = Object.entries(fields).filter(([, field]) => field !== 0 && field !== "");
  return { settings: new Map(set.map(([key, value]) => [key, { value, source: "runc's options" }])), isTable: false };
}

function decodeRuntimeOptions(bytes: Uint8Array): Layer {
  const { typeUrl, configPath, configBody } = runtimeoptions.v1.Options.decode(bytes);
  if (typeUrl !== "" && typeUrl !== OPTIONS_TYPE)
    throw invalid(`options TypeUrl: ${JSON.stringify(typeUrl)}, not ${OPTIONS_TYPE}`);
  if (configPath !== "") return readFile(configPath);
  if (configBody.length === 0) return NOTHING;
  return { settings: parseTable("options", Buffer.from(configBody).toString()), isTable: true };
}

function readFile(path: string): Layer {
  return { settings: parseTable(path, readOptionsFile(path)), isTable: true };
}

function defaultFile(paths: readonly string[]): Layer {
  const path = paths.find(existsSync);
  return path === undefined ? NOTHING : readFile(path);
}

function text(settings: Settings, key: string): string {
  const setting = settings.get(key);
  if (setting === undefined) return "";
  if (typeof setting.value === "string") return setting.value;
  throw invalid(`${setting.source}: ${key}: ${JSON.stringify(setting.value)} is no text`);
}

function absolute(settings: Settings, key: string): string {
  const path = text(settings, key);
  if (path === "" || path.startsWith("/")) return path;
  throw invalid(`${settings.get(key)?.source}: ${key}: ${JSON.stringify(path)} is no absolute path`);
}

function id(settings: Settings, key: string): number {
  const setting = settings.get(key);
  if (setting === undefined) return 0;
  const { value, source } = setting;
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < 0xffffffff) return value;
  throw invalid(`${source}: ${key}: ${JSON.stringify(value)} is no id (0 to 4294967294)`);
}

function invalid(message: string): StatusError {
  return new StatusError(Code.InvalidArgument, message);
}
