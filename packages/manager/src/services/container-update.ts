import type { containerd, google } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { ContainerRecord } from "../metadata/containers.ts";
import { applyMapPaths, type MaskPath, parseMask } from "../metadata/field-mask.ts";

type Container = containerd.services.containers.v1.Container;

const FIELDS = ["labels", "spec", "extensions", "image", "snapshotkey"] as const;
type Field = (typeof FIELDS)[number];
const RULES = { fields: FIELDS, maps: ["labels", "extensions"] } as const;

/**
 * A container after an update: what the mask names is taken from `given`; without a mask, everything that may change. Throws
 * InvalidArgument for other paths, and without a mask if what may not change differs.
 */
export function updateContainer(
  before: ContainerRecord,
  given: Container,
  mask: google.protobuf.FieldMask | undefined,
): ContainerRecord {
  const paths = parseMask<Field>(mask, RULES);
  if (paths.length === 0) requireSame(before, given);
  const named = paths.length === 0 ? FIELDS.map((field) => ({ field, key: undefined })) : paths;
  return named.reduce((container, path) => applyPath(container, given, path), before);
}

function applyPath(container: ContainerRecord, given: Container, path: MaskPath<Field>): ContainerRecord {
  switch (path.field) {
    case "labels":
      return { ...container, labels: { ...applyMapPaths(container.labels, given.labels, [path]) } };
    case "spec":
      return { ...container, spec: given.spec };
    case "extensions":
      return { ...container, extensions: updatedExtensions(container.extensions, given.extensions, path.key) };
    case "image":
      return { ...container, image: given.image };
    case "snapshotkey":
      return { ...container, snapshotKey: given.snapshotKey };
  }
}

/** Extensions after an update of one, or of all without a key. One that is not given is removed. */
export function updatedExtensions(
  before: Container["extensions"],
  given: Container["extensions"],
  key: string | undefined,
): Container["extensions"] {
  if (key === undefined) return given;
  const others = Object.entries(before).filter(([name]) => name !== key);
  const value = Object.hasOwn(given, key) ? given[key] : undefined;
  return Object.fromEntries(value === undefined ? others : [...others, [key, value]]);
}

function requireSame(before: ContainerRecord, given: Container): void {
  const immutable = [
    ["snapshotter", before.snapshotter, given.snapshotter],
    ["runtime.name", before.runtime?.name ?? "", given.runtime?.name ?? ""],
  ] as const;
  for (const [field, old, wanted] of immutable) {
    if (old === wanted) continue;
    const message = `container.${field} ${JSON.stringify(wanted)}: is ${JSON.stringify(old)} and cannot change`;
    throw new ManagerError(Code.InvalidArgument, message);
  }
}
