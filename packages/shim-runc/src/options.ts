import { ANY, containerd, runtimeoptions } from "@trimaran/proto";
import { type CreateRequest, readOptionsFile } from "@trimaran/shim-core";
import { parse as parseToml } from "smol-toml";
import { Code, StatusError } from "ttrpc-ts";

/** What an operator may set for shim-runc. Defaults: everything off, pipes owned by root. */
export interface RuncOptions {
  /** Leave the caller's session keyring. */
  readonly noNewKeyring: boolean;
  /** Owner of the container's pipes; 0 to 2^32-2. */
  readonly ioUid: number;
  readonly ioGid: number;
  /** A cgroup for the monitor itself; empty: containerd's. */
  readonly shimCgroup: string;
  /** Let systemd make the cgroups, as scopes: `linux.cgroupsPath` is `slice:prefix:name` then. */
  readonly systemdCgroup: boolean;
  /** criu itself; empty: PATH has it. */
  readonly criuPath: string;
  /** Where criu's logs go, and stay; empty: into the bundle. */
  readonly criuWorkPath: string;
}

type Values = Partial<Record<keyof RuncOptions, unknown>>;

/** Keys of the options table in containerd's configuration, as CRI users write them for runc, and what they set here. */
const KEYS: Readonly<Record<string, keyof RuncOptions | "ignored">> = {
  NoNewKeyring: "noNewKeyring",
  IoUid: "ioUid",
  IoGid: "ioGid",
  ShimCgroup: "shimCgroup",
  SystemdCgroup: "systemdCgroup",
  CriuPath: "criuPath",
  CriuWorkPath: "criuWorkPath",
  // Belong to a runc binary, which is not used, or to containerd itself: accepted, so that a runc table can be kept as it is.
  BinaryName: "ignored",
  Root: "ignored",
  NoPivotRoot: "ignored",
  CriuImagePath: "ignored",
};

/** Merge options field by field, later ones win. Throws InvalidArgument on a type, key or value that is not known. Source: contract, section 6. */
export function parseOptions(options: CreateRequest["options"]): RuncOptions {
  const values: Values = Object.assign({}, ...options.map(({ typeUrl, value }) => decode(typeUrl, value)));
  return {
    noNewKeyring: boolean("no_new_keyring", values.noNewKeyring ?? false),
    ioUid: id("io_uid", values.ioUid ?? 0),
    ioGid: id("io_gid", values.ioGid ?? 0),
    shimCgroup: text("shim_cgroup", values.shimCgroup ?? ""),
    systemdCgroup: boolean("systemd_cgroup", values.systemdCgroup ?? false),
    criuPath: path("criu_path", values.criuPath ?? ""),
    criuWorkPath: path("criu_work_path", values.criuWorkPath ?? ""),
  };
}

function decode(typeUrl: string, value: Uint8Array): Values {
  if (value.length === 0) return {};
  switch (typeUrl) {
    case ANY.runcOptions: {
      const set = containerd.runc.v1.Options.decode(value);
      const { noNewKeyring, ioUid, ioGid, shimCgroup, systemdCgroup, criuPath, criuWorkPath } = set;
      return whatIsSet({ noNewKeyring, ioUid, ioGid, shimCgroup, systemdCgroup, criuPath, criuWorkPath });
    }
    case ANY.oldRuncOptions:
      return whatIsSet(containerd.linux.runc.CreateOptions.decode(value));
    case ANY.runtimeOptions: {
      const { configPath, configBody } = runtimeoptions.v1.Options.decode(value);
      if (configPath) return fromToml(configPath, readOptionsFile(configPath));
      return configBody.length > 0 ? fromToml("options", Buffer.from(configBody).toString()) : {};
    }
    default:
      throw new StatusError(Code.InvalidArgument, `options: type ${JSON.stringify(typeUrl)} is not one of this shim's`);
  }
}

/** proto3 can't tell "unset" from the default, so only what differs from it says something. */
function whatIsSet(fields: Values): Values {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => Boolean(value)));
}

function fromToml(where: string, toml: string): Values {
  let table: Record<string, unknown>;
  try {
    table = parseToml(toml);
  } catch (error) {
    throw new StatusError(Code.InvalidArgument, `${where}: no TOML: ${error instanceof Error ? error.message : error}`);
  }
  const values: Values = {};
  for (const [key, value] of Object.entries(table)) {
    const meaning = Object.hasOwn(KEYS, key) ? KEYS[key] : undefined;
    if (meaning === undefined)
      throw new StatusError(Code.InvalidArgument, `${where}: ${JSON.stringify(key)} is unknown${hint(key)}`);
    if (meaning !== "ignored") values[meaning] = value;
  }
  return values;
}

function hint(key: string): string {
  const plain = (name: string): string => name.toLowerCase().replaceAll("_", "");
  const near = Object.keys(KEYS).find((name) => plain(name) === plain(key));
  return near === undefined ? "" : `; "${near}"?`;
}

function boolean(field: string, value: unknown): boolean {
  if (typeof value === "boolean") return value;
  throw new StatusError(Code.InvalidArgument, `options ${field}: ${JSON.stringify(value)} is no boolean`);
}

function text(field: string, value: unknown): string {
  if (typeof value === "string") return value;
  throw new StatusError(Code.InvalidArgument, `options ${field}: ${JSON.stringify(value)} is no text`);
}

function path(field: string, value: unknown): string {
  const path = text(field, value);
  if (path === "" || path.startsWith("/")) return path;
  throw new StatusError(Code.InvalidArgument, `options ${field}: ${JSON.stringify(path)} is no absolute path`);
}

function id(field: string, value: unknown): number {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 0 && number < 0xffffffff) return number;
  throw new StatusError(Code.InvalidArgument, `options ${field}: ${String(value)} is no id (0 to 4294967294)`);
}
