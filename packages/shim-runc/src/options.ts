import { readFileSync } from "node:fs";
import { ANY, containerd, runtimeoptions } from "@trimaran/proto";
import type { CreateRequest } from "@trimaran/shim-core";
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
}

type Values = Partial<Record<keyof RuncOptions, unknown>>;

/** Keys of the options table in containerd's configuration, as CRI users write them for runc, and what they set here. */
const KEYS: Readonly<Record<string, keyof RuncOptions | "ignored">> = {
  NoNewKeyring: "noNewKeyring",
  IoUid: "ioUid",
  IoGid: "ioGid",
  ShimCgroup: "shimCgroup",
  SystemdCgroup: "systemdCgroup",
  // Belong to a runc binary or to CRIU, which are not used: accepted, so that a runc table can be kept as it is.
  BinaryName: "ignored",
  Root: "ignored",
  NoPivotRoot: "ignored",
  CriuPath: "ignored",
  CriuImagePath: "ignored",
  CriuWorkPath: "ignored",
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
  };
}

function decode(typeUrl: string, value: Uint8Array): Values {
  if (value.length === 0) return {};
  switch (typeUrl) {
    case ANY.runcOptions: {
      const { noNewKeyring, ioUid, ioGid, shimCgroup, systemdCgroup } = containerd.runc.v1.Options.decode(value);
      return whatIsSet({ noNewKeyring, ioUid, ioGid, shimCgroup, systemdCgroup });
    }
    case ANY.oldRuncOptions:
      return whatIsSet(containerd.linux.runc.CreateOptions.decode(value));
    case ANY.runtimeOptions: {
      const { configPath, configBody } = runtimeoptions.v1.Options.decode(value);
      if (configPath) return fromToml(configPath, readConfig(configPath));
      return configBody.length > 0 ? fromToml("options", Buffer.from(configBody).toString()) : {};
    }
    default:
      throw new StatusError(Code.InvalidArgument, `options: type ${JSON.stringify(typeUrl)} is not one of this shim's`);
  }
}

/** proto3 can't tell "unset" from the default, so only what differs from it says something. */
function whatIsSet(fields: Partial<RuncOptions>): Values {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => Boolean(value)));
}

function readConfig(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new StatusError(Code.InvalidArgument, `options ConfigPath ${path}: can't be read`, { cause: error });
  }
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
    const meaning = KEYS[key];
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

function id(field: string, value: unknown): number {
  const number = typeof value === "bigint" ? Number(value) : value;
  if (typeof number === "number" && Number.isInteger(number) && number >= 0 && number < 0xffffffff) return number;
  throw new StatusError(Code.InvalidArgument, `options ${field}: ${String(value)} is no id (0 to 4294967294)`);
}
