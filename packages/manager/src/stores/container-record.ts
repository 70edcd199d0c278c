import { Code, ManagerError } from "../errors/manager-error.ts";

/** Where a task's streams go; the strings are the shim contract's (FIFO paths, file:// and so on), "" is /dev/null. */
export interface TaskIo {
  readonly terminal: boolean;
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
}

/** A root filesystem: read-only directories, topmost first, below a writable one; or one directory used as it is. */
export type Rootfs =
  | { readonly kind: "overlay"; readonly layers: readonly string[] }
  | { readonly kind: "direct"; readonly path: string };

/** What the manager remembers of a container from its creation to its removal. */
export interface ContainerRecord {
  readonly id: string;
  readonly namespace: string;
  /** As given: a.b.NAME.VERSION or an absolute path. */
  readonly runtime: string;
  /** What it was made from, as typed. */
  readonly image: string;
  readonly args: readonly string[];
  /** RFC 3339, UTC. */
  readonly createdAt: string;
  readonly rootfs: Rootfs;
  readonly autoRemove: boolean;
  /** Set once a task was created; `logs` looks here. */
  readonly io?: TaskIo;
  /** Set once the task was deleted after its exit. */
  readonly exit?: { readonly status: number; readonly exitedAt: string };
}

/** From the text of a record's file. Throws Internal: nobody but the manager writes these. */
export function parseContainerRecord(path: string, text: string): ContainerRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ManagerError(Code.Internal, `${path}: not JSON`, { cause });
  }
  if (!isRecord(value)) throw new ManagerError(Code.Internal, `${path}: not a container record`);
  return value;
}

function isRecord(value: unknown): value is ContainerRecord {
  if (!isObject(value)) return false;
  const { id, namespace, runtime, image, args, createdAt, rootfs, autoRemove, io, exit } = value;
  return (
    [id, namespace, runtime, image, createdAt].every((text) => typeof text === "string") &&
    isTextList(args) &&
    isRootfs(rootfs) &&
    typeof autoRemove === "boolean" &&
    (io === undefined || isIo(io)) &&
    (exit === undefined || (isObject(exit) && typeof exit.status === "number" && typeof exit.exitedAt === "string"))
  );
}

function isRootfs(value: unknown): boolean {
  if (!isObject(value)) return false;
  return value.kind === "overlay" ? isTextList(value.layers) : typeof value.path === "string";
}

function isIo(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { terminal, stdin, stdout, stderr } = value;
  return typeof terminal === "boolean" && [stdin, stdout, stderr].every((text) => typeof text === "string");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}
