import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { CgroupPlan, ResctrlPlan } from "@trimaran/linux";
import type { ProcessIdentity } from "./process-identity.ts";

/** Where a container's processes are put. */
export interface Places {
  readonly cgroup: CgroupPlan;
  /** Undefined without `linux.intelRdt`. */
  readonly resctrl?: ResctrlPlan | undefined;
}

/** What a container's directory says of it. */
export interface ContainerRecord extends Places {
  readonly id: string;
  readonly init: ProcessIdentity;
  /** Absolute. */
  readonly bundle: string;
  readonly rootfs: string;
  /** RFC 3339. */
  readonly created: string;
  readonly newKeyring: boolean;
}

/** No container of that id, or it cannot be read. */
export class NoContainer extends Error {
  override readonly name = "NoContainer";
}

const STATE = "state.json";
const CONFIG = "config.json";
const FIFO = "exec.fifo";
const STARTING = "exec.started";
const BEGUN = "begun.json";

/**
 * The directories of containers, `ROOT/ID`: the record, the config as it was at create, and the FIFO that init waits on until it is
 * started. Nothing else remembers a container: no process does.
 */
export class Store {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Take an id. Throws if it is taken, or no id. */
  reserve(id: string): void {
    checkId(id);
    mkdirSync(this.root, { recursive: true, mode: 0o700 });
    try {
      mkdirSync(join(this.root, id), { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "EEXIST")
        throw new Error(`container with id exists: ${id}`, { cause: error });
      throw error;
    }
  }

  /** Write down what is about to be made: whoever deletes what a killed create left must find it. */
  begin(id: string, places: Places): void {
    writeWhole(join(this.root, id, BEGUN), JSON.stringify(places));
  }

  /** What a create that began was about to make. Undefined if there is no such thing. */
  begun(id: string): Places | undefined {
    checkId(id);
    try {
      return JSON.parse(readFileSync(join(this.root, id, BEGUN), "utf8")) as Places; // as for the record
    } catch {
      return undefined;
    }
  }

  /** Where the start gate's FIFO is, or is to be made. */
  fifo(id: string): string {
    return join(this.root, id, FIFO);
  }

  /** A folder of a container's, for as long as it is there. */
  folder(id: string, name: string): string {
    return join(this.root, id, name);
  }

  /** Write the record, and the config that belongs to it, whole. */
  write(record: ContainerRecord, config: Uint8Array): void {
    writeWhole(join(this.root, record.id, CONFIG), config);
    writeWhole(join(this.root, record.id, STATE), JSON.stringify(record));
  }

  /** The record. Throws NoContainer. */
  read(id: string): ContainerRecord {
    return this.#read(id, STATE, (text) => JSON.parse(text.toString()) as ContainerRecord); // written by us, 0600 in a directory of ours
  }

  /** The config as it was at create. Throws NoContainer. */
  config(id: string): Buffer {
    return this.#read(id, CONFIG, (text) => text);
  }

  #read<T>(id: string, file: string, parse: (text: Buffer) => T): T {
    checkId(id);
    try {
      return parse(readFileSync(join(this.root, id, file)));
    } catch (error) {
      throw new NoContainer(`container does not exist: ${id}`, { cause: error });
    }
  }

  /** Whose it is: a name of /etc/passwd, or a number. */
  owner(id: string): string {
    const { uid } = statSync(join(this.root, id));
    const line = readFileSync("/etc/passwd", "latin1")
      .split("\n")
      .find((entry) => entry.split(":")[2] === String(uid));
    return line?.split(":")[0] ?? String(uid);
  }

  /** Whether init waits for its start. */
  isWaiting(id: string): boolean {
    return existsSync(this.fifo(id));
  }

  /** Claim the start: of two, one gets the FIFO's new path. Throws ENOENT. */
  claimStart(id: string): string {
    const path = join(this.root, id, STARTING);
    renameSync(this.fifo(id), path);
    return path;
  }

  /** Forget a container, or one that was never finished. */
  remove(id: string): void {
    checkId(id);
    rmSync(join(this.root, id), { recursive: true, force: true });
  }

  /** Whether a directory is there at all. */
  has(id: string): boolean {
    return existsSync(join(this.root, id));
  }

  /** All ids that have a record, sorted. */
  ids(): string[] {
    if (!existsSync(this.root)) return [];
    return readdirSync(this.root)
      .filter((id) => existsSync(join(this.root, id, STATE)))
      .sort();
  }
}

/** An id becomes a path. Source: runc's rule. Throws. */
export function checkId(id: string): void {
  if (!/^[A-Za-z0-9_+.-]{1,255}$/.test(id) || id === "." || id === "..")
    throw new Error(`invalid container ID: ${JSON.stringify(id)}: letters, digits, _ + . - are allowed`);
}

/** A file is old or new, never half. */
export function writeWhole(path: string, content: string | Uint8Array): void {
  const temporary = `${path}.new`;
  writeFileSync(temporary, content, { mode: 0o600 });
  const fd = openSync(temporary, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, path);
}
