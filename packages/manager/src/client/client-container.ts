import { type containerd, fromTimestamp } from "@trimaran/proto";
import type { PortMapping } from "../network/port-mapping.ts";
import type { Rootfs } from "../snapshots/rootfs.ts";
import { CONTAINER_LABELS, parsePortsLabel, parseRootfsLabel } from "./container-labels.ts";

/** Where a container's root file system comes from. */
export type ContainerRootfs =
  | { readonly kind: "snapshot"; readonly snapshotter: string; readonly key: string }
  | Rootfs
  /** Made by a client that has told nobody. */
  | { readonly kind: "unknown" };

/** How a container's last task ended. */
export interface ContainerExit {
  /** 0 to 255; 128 + n for signal n. */
  readonly status: number;
  /** RFC 3339; empty if nobody knows. */
  readonly at: string;
}

/** A container, as our own client sees it, whoever has made it. */
export interface ClientContainer {
  readonly id: string;
  /** Name of the image; what was typed if it was made from a directory. */
  readonly image: string;
  /** a.b.NAME.VERSION or an absolute path; empty if it was made without one. */
  readonly runtime: string;
  /** The command; empty if the spec has none that we can read. */
  readonly args: readonly string[];
  readonly createdAtNs: bigint;
  readonly rootfs: ContainerRootfs;
  readonly autoRemove: boolean;
  readonly logPath: string | undefined;
  readonly network: string | undefined;
  readonly ports: readonly PortMapping[];
  /** Set when its task is gone. */
  readonly exit: ContainerExit | undefined;
  readonly record: containerd.services.containers.v1.Container;
}

/** Read what a client has left on record. Throws DataLoss for labels of ours that are broken. */
export function toClientContainer(record: containerd.services.containers.v1.Container): ClientContainer {
  const { id, labels } = record;
  const { ports, exitStatus } = {
    ports: labels[CONTAINER_LABELS.ports],
    exitStatus: labels[CONTAINER_LABELS.exitStatus],
  };
  return {
    id,
    image: record.image || labels[CONTAINER_LABELS.source] || "",
    runtime: record.runtime?.name ?? "",
    args: argsOf(record),
    createdAtNs: record.createdAt === undefined ? 0n : fromTimestamp(record.createdAt),
    rootfs: rootfsOf(record),
    autoRemove: labels[CONTAINER_LABELS.autoRemove] === "true",
    logPath: labels[CONTAINER_LABELS.log],
    network: labels[CONTAINER_LABELS.network],
    ports: ports === undefined ? [] : parsePortsLabel(id, ports),
    exit:
      exitStatus === undefined
        ? undefined
        : { status: Number(exitStatus), at: labels[CONTAINER_LABELS.exitedAt] ?? "" },
    record,
  };
}

/** The container's spec as JSON; undefined if there is none. */
export function specText({ spec }: containerd.services.containers.v1.Container): string | undefined {
  return spec === undefined ? undefined : Buffer.from(spec.value).toString("utf8");
}

function rootfsOf({
  id,
  labels,
  snapshotter,
  snapshotKey,
}: containerd.services.containers.v1.Container): ContainerRootfs {
  const own = labels[CONTAINER_LABELS.rootfs];
  if (own !== undefined) return parseRootfsLabel(id, own);
  return snapshotKey === "" ? { kind: "unknown" } : { kind: "snapshot", snapshotter, key: snapshotKey };
}

function argsOf(record: containerd.services.containers.v1.Container): string[] {
  try {
    const spec: unknown = JSON.parse(specText(record) ?? "{}");
    const args = (spec as { readonly process?: { readonly args?: unknown } }).process?.args;
    return Array.isArray(args) ? args.filter((arg) => typeof arg === "string") : [];
  } catch {
    return []; // not ours to judge: it is only shown
  }
}
