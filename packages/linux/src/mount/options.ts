import { InvalidSpec } from "../spec/invalid-spec.ts";
import type { IdMapping, Propagation } from "../spec/linux.ts";
import { MAX_ID, MAX_U32 } from "../spec/process.ts";
import { PROPAGATION } from "../spec/tables.ts";
import { ATTR, type IdMappings } from "./mount.ts";

/** Mount attributes to set and to clear, as mount_setattr takes them: setting an access time clears the whole field first. */
export interface AttributeChange {
  readonly set: number;
  readonly clear: number;
}

/** One parameter of a file system: a word, or `key=value`. */
export interface FsParameter {
  readonly key: string;
  readonly value: string | undefined;
}

/** What a list of mount options asks for. Order mattered while parsing: the last of two contradicting words won. */
export interface MountOptions {
  readonly bind: "none" | "bind" | "rbind";
  readonly remount: boolean;
  /** For the one mount. */
  readonly attributes: AttributeChange;
  /** For the mount and everything below it (`rro` …). */
  readonly recursive: AttributeChange;
  /** In order. */
  readonly propagation: readonly Propagation[];
  /** Superblock flags by fsconfig's name ("sync"): meaningless for binds. */
  readonly superblock: readonly string[];
  /** Ids are mapped: of the mount only, or of everything below it, too. By which lines is not said here. */
  readonly idmap: "none" | "idmap" | "ridmap";
  /** containerd's `uidmap=` and `gidmap=`: lines of an idmapped mount. */
  readonly idMappings: IdMappings | undefined;
  /** A tmpfs begins with what the directory under it holds. */
  readonly copyUp: boolean;
  /** For the file system itself, in order. */
  readonly data: readonly FsParameter[];
}

interface Flag {
  readonly set: number;
  readonly clear: number;
}

const { rdonly, nosuid, nodev, noexec, atimeMask, noatime, strictatime, nodiratime, nosymfollow } = ATTR;

/** Attribute words. Every access time word replaces the whole field. */
const ATTRIBUTES: Readonly<Record<string, Flag>> = {
  ro: { set: rdonly, clear: 0 },
  rw: { set: 0, clear: rdonly },
  nosuid: { set: nosuid, clear: 0 },
  suid: { set: 0, clear: nosuid },
  nodev: { set: nodev, clear: 0 },
  dev: { set: 0, clear: nodev },
  noexec: { set: noexec, clear: 0 },
  exec: { set: 0, clear: noexec },
  nosymfollow: { set: nosymfollow, clear: 0 },
  symfollow: { set: 0, clear: nosymfollow },
  nodiratime: { set: nodiratime, clear: 0 },
  diratime: { set: 0, clear: nodiratime },
  noatime: { set: noatime, clear: atimeMask },
  strictatime: { set: strictatime, clear: atimeMask },
  relatime: { set: 0, clear: atimeMask },
  atime: { set: 0, clear: atimeMask },
  norelatime: { set: 0, clear: atimeMask },
  nostrictatime: { set: 0, clear: atimeMask },
};

/** Superblock words: the flag, and whether the word sets it. */
const SUPERBLOCK: Readonly<Record<string, readonly [string, boolean]>> = {
  sync: ["sync", true],
  async: ["sync", false],
  dirsync: ["dirsync", true],
  mand: ["mand", true],
  nomand: ["mand", false],
  iversion: ["iversion", true],
  noiversion: ["iversion", false],
  lazytime: ["lazytime", true],
  nolazytime: ["lazytime", false],
};

const IGNORED = new Set(["defaults", "silent", "loud"]);
/** Words that would be wrong to ignore. */
const REFUSED: Readonly<Record<string, string>> = {
  loop: "loop devices are not supported yet",
  "src-nofollow": "not supported yet",
  "dest-nofollow": "not supported yet",
  "copy-symlink": "not supported yet",
};

/**
 * The options of one mount. `field` is its path for errors. Throws InvalidSpec for what this version cannot do (loop).
 * Words that no table knows are parameters of the file system. Source: runtime checklist 1.4.
 */
export function parseMountOptions(options: readonly string[], field: () => string): MountOptions {
  let bind: MountOptions["bind"] = "none";
  let remount = false;
  let attributes: Flag = { set: 0, clear: 0 };
  let recursive: Flag = { set: 0, clear: 0 };
  const propagation: Propagation[] = [];
  const superblock = new Set<string>();
  const maps = { uidmap: [] as IdMapping[], gidmap: [] as IdMapping[] };
  let idmap: MountOptions["idmap"] = "none";
  let copyUp = false;
  const data: FsParameter[] = [];
  for (const option of options) {
    const flag = own(ATTRIBUTES, option);
    const below = option.startsWith("r") ? own(ATTRIBUTES, option.slice(1)) : undefined;
    const change = own(SUPERBLOCK, option);
    const moved = PROPAGATION.get(option);
    if (flag !== undefined) attributes = merge(attributes, flag);
    else if (option === "bind" || option === "rbind") bind = option;
    else if (option === "remount") remount = true;
    else if (option === "idmap" || option === "ridmap") idmap = option;
    else if (option === "tmpcopyup") copyUp = true;
    else if (option.startsWith("uidmap=")) maps.uidmap.push(...parseIdMap(option, field));
    else if (option.startsWith("gidmap=")) maps.gidmap.push(...parseIdMap(option, field));
    else if (below !== undefined) recursive = merge(recursive, below);
    else if (moved !== undefined) propagation.push(moved);
    else if (change?.[1]) superblock.add(change[0]);
    else if (change !== undefined) superblock.delete(change[0]);
    else if (own(REFUSED, option) !== undefined) throw new InvalidSpec(field(), own(REFUSED, option) ?? "", option);
    else if (option.startsWith("X-containerd.") || IGNORED.has(option) || option === "") continue;
    else data.push(parseParameter(option, field));
  }
  const idMappings = toIdMappings(maps.uidmap, maps.gidmap, field);
  const changes = { attributes, recursive, propagation, superblock: [...superblock] };
  return { bind, remount, ...changes, idmap, idMappings, copyUp, data };
}

/** `uidmap=0:100000:65536`: id on disk, id seen, how many. */
function parseIdMap(option: string, field: () => string): IdMapping[] {
  return option
    .slice(option.indexOf("=") + 1)
    .split(",")
    .map((line) => {
      const [, containerId, hostId, size] = /^([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})$/.exec(line) ?? [];
      const mapping = { containerId: Number(containerId), hostId: Number(hostId), size: Number(size) };
      if (!(mapping.size >= 1 && mapping.size <= MAX_U32 && mapping.containerId <= MAX_ID && mapping.hostId <= MAX_ID))
        throw new InvalidSpec(field(), "not ID:ID:SIZE", option);
      return mapping;
    });
}

function toIdMappings(uids: readonly IdMapping[], gids: readonly IdMapping[], field: () => string) {
  if (uids.length === 0 && gids.length === 0) return undefined;
  if (uids.length === 0 || gids.length === 0) throw new InvalidSpec(field(), "uidmap and gidmap belong together");
  return { uids, gids };
}

function parseParameter(option: string, field: () => string): FsParameter {
  const equals = option.indexOf("=");
  const key = equals < 0 ? option : option.slice(0, equals);
  if (key === "idmap" || key === "ridmap") throw new InvalidSpec(field(), "takes no value", option);
  if (key === "") throw new InvalidSpec(field(), "not an option", option);
  return { key, value: equals < 0 ? undefined : option.slice(equals + 1) };
}

/** The later word wins bit by bit; clearing the access time field and setting a value of it belong together. */
function merge(before: Flag, now: Flag): Flag {
  const touched = now.set | now.clear;
  return { set: (before.set & ~touched) | now.set, clear: (before.clear & ~now.set) | now.clear };
}

function own<T>(table: Readonly<Record<string, T>>, key: string): T | undefined {
  return Object.hasOwn(table, key) ? table[key] : undefined;
}
