import { Code, ManagerError } from "../errors/manager-error.ts";
import type { PortMapping } from "../network/port-mapping.ts";
import { EXIT_LABELS } from "../services/note-exit.ts";
import type { Rootfs } from "../snapshots/rootfs.ts";

/**
 * What the client keeps with a container, in its labels. A value of its own for each, so that `ctr containers info` and filters can
 * be used on them. Absent labels, as on containers that other clients have made, mean the defaults.
 */
export const CONTAINER_LABELS = {
  /** "true": remove the container when its task has ended. */
  autoRemove: "trimaran/auto-remove",
  /** Path of the file with a detached container's output. */
  log: "trimaran/log",
  /** JSON: the directories that are its root file system, where that is no snapshot. */
  rootfs: "trimaran/rootfs",
  /** What it was made from, as typed. */
  source: "trimaran/source",
  /** Network that it is connected to while it has a task. */
  network: "trimaran/network",
  /** JSON: a list of PortMapping. */
  ports: "trimaran/ports",
  /** containerd's own: the signal that asks it to end, a name or a number. */
  stopSignal: "io.containerd.image.config.stop-signal",
  ...{ exitStatus: EXIT_LABELS.status, exitedAt: EXIT_LABELS.at },
} as const;

/** The directories of a container whose root file system is no snapshot. Throws DataLoss. */
export function parseRootfsLabel(id: string, text: string): Rootfs {
  const value = parseLabel(id, CONTAINER_LABELS.rootfs, text);
  if (isRootfs(value)) return value;
  throw badLabel(id, CONTAINER_LABELS.rootfs);
}

/** The published ports. Throws DataLoss. */
export function parsePortsLabel(id: string, text: string): PortMapping[] {
  const value = parseLabel(id, CONTAINER_LABELS.ports, text);
  if (Array.isArray(value) && value.every(isPortMapping)) return value;
  throw badLabel(id, CONTAINER_LABELS.ports);
}

function parseLabel(id: string, label: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw badLabel(id, label);
  }
}

function isRootfs(value: unknown): value is Rootfs {
  if (typeof value !== "object" || value === null || !("kind" in value)) return false;
  if (value.kind === "direct") return "path" in value && typeof value.path === "string";
  const layers = value.kind === "overlay" && "layers" in value ? value.layers : undefined;
  return Array.isArray(layers) && layers.length > 0 && layers.every((layer) => typeof layer === "string");
}

function isPortMapping(value: unknown): value is PortMapping {
  if (typeof value !== "object" || value === null) return false;
  const { hostPort, containerPort, protocol, hostIP } = value as Record<string, unknown>;
  const isProtocol = protocol === "tcp" || protocol === "udp" || protocol === "sctp";
  return typeof hostPort === "number" && typeof containerPort === "number" && isProtocol && typeof hostIP === "string";
}

function badLabel(id: string, label: string): ManagerError {
  return new ManagerError(Code.DataLoss, `container ${JSON.stringify(id)}: label ${label} is not what a client writes`);
}
