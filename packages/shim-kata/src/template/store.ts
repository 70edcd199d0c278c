import { createHash } from "node:crypto";
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

/** A machine that has booted and been saved; clones start from it. Paths on the host. */
export interface Template {
  readonly key: string;
  readonly directory: string;
  /** The guest's memory: as large as the machine's, with holes. */
  readonly memory: string;
  /** The devices' state. Read whole when a clone starts: some 60 kB. */
  readonly state: Buffer;
}

/** What is kept in memory at most, on one host: each template holds as much as a guest has touched, 100 to 200 MB. */
const KEPT = 4;
const FILES = { memory: "memory", state: "state", record: "template.json" } as const;
const UNFINISHED = ".new-";
/** stat(2)'s. */
const BLOCK_BYTES = 512;
/** Numbers of file systems in memory: tmpfs, ramfs. Source: linux/magic.h. */
const IN_MEMORY = new Set([0x01021994, 0x858458f6]);

interface Record {
  readonly key: string;
  readonly memoryBytes: number;
  readonly stateSha256: string;
}

/** Where templates are kept: the first folder whose file system is in memory, else the first. */
export function templateDirectory(candidates: readonly [string, ...string[]]): string {
  return candidates.find((path) => isInMemory(path)) ?? candidates[0];
}

/** Where templates may be if nobody says: below the state's folder, or where it is not in memory in /dev/shm. */
export function defaultTemplates(stateDirectory: string): [string, string] {
  return [join(stateDirectory, "kata-host/templates"), "/dev/shm/trimaran-kata-templates"];
}

/** Where to write a template that is not there yet. */
export function newTemplatePaths(root: string, key: string): { directory: string; memory: string } {
  const directory = join(root, `${UNFINISHED}${key}`);
  return { directory, memory: join(directory, FILES.memory) };
}

/** Name of the machine's lock that every build in that folder is under. */
export function templateLock(root: string): string {
  return `template ${root}`;
}

/** Remove what builds have left that were killed. The caller holds the lock that every build is under. */
export function removeUnfinished(root: string): void {
  if (!existsSync(root)) return;
  for (const name of readdirSync(root))
    if (name.startsWith(UNFINISHED)) rmSync(join(root, name), { recursive: true, force: true });
}

/** Make what is in `directory` the template: whole or not at all. An older one of that key goes, and so do those beyond a handful. */
export function publishTemplate(root: string, key: string, directory: string, state: Buffer): Template {
  const record: Record = {
    key,
    memoryBytes: statSync(join(directory, FILES.memory)).size,
    stateSha256: digest(state),
  };
  chmodSync(join(directory, FILES.memory), 0o600); // QEMU made it for all to read
  writeFileSync(join(directory, FILES.state), state, { mode: 0o600 });
  writeFileSync(join(directory, FILES.record), `${JSON.stringify(record)}\n`, { mode: 0o600 });
  for (const name of readdirSync(directory))
    if (!Object.values<string>(FILES).includes(name)) rmSync(join(directory, name), { recursive: true, force: true });
  removeTemplate(root, key);
  renameSync(directory, join(root, key));
  prune(root, key);
  return toTemplate(root, key, state);
}

/** The template of that key, if it is whole: sizes and the state's digest are what was written. */
export function findTemplate(root: string, key: string): Template | undefined {
  const directory = join(root, key);
  try {
    const record = JSON.parse(readFileSync(join(directory, FILES.record), "utf8")) as Partial<Record> | null;
    const state = readFileSync(join(directory, FILES.state));
    if (record?.key !== key || record.stateSha256 !== digest(state)) return undefined;
    if (statSync(join(directory, FILES.memory)).size !== record.memoryBytes) return undefined;
    return toTemplate(root, key, state);
  } catch {
    return undefined; // none, or half of one that somebody has damaged: it is built again
  }
}

/** Machines that run from it keep its memory, which has no name any more. */
export function removeTemplate(root: string, key: string): void {
  rmSync(join(root, key), { recursive: true, force: true });
}

/** Remove all that are there; how many bytes they held. The caller holds the lock that every build is under. */
export function removeTemplates(root: string): number {
  removeUnfinished(root);
  const names = existsSync(root) ? readdirSync(root) : [];
  let bytes = 0;
  for (const name of names.filter((each) => existsSync(join(root, each, FILES.record)))) {
    bytes += (statSync(join(root, name, FILES.memory), { throwIfNoEntry: false })?.blocks ?? 0) * BLOCK_BYTES;
    removeTemplate(root, name);
  }
  return bytes;
}

function prune(root: string, key: string): void {
  const others = readdirSync(root).filter((name) => name !== key && !name.startsWith("."));
  const madeAt = (name: string) => statSync(join(root, name), { throwIfNoEntry: false })?.mtimeMs ?? 0;
  for (const name of others.sort((a, b) => madeAt(b) - madeAt(a)).slice(KEPT - 1)) removeTemplate(root, name);
}

function toTemplate(root: string, key: string, state: Buffer): Template {
  const directory = join(root, key);
  return { key, directory, memory: join(directory, FILES.memory), state };
}

function digest(state: Buffer): string {
  return createHash("sha256").update(state).digest("hex");
}

/** Of the folder, or of what it will be made in. */
function isInMemory(path: string): boolean {
  try {
    return IN_MEMORY.has(statfsSync(path).type);
  } catch {
    return path !== "/" && isInMemory(join(path, ".."));
  }
}
