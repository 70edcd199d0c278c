import type { containerd, google } from "@trimaran/proto";
import { isDigest } from "../content/digest.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { applyMapPaths, type MaskPath, parseMask } from "../metadata/field-mask.ts";
import type { ImageFields, ImageTarget } from "../metadata/images.ts";
import { parseLabels } from "../metadata/labels.ts";

type Image = containerd.services.images.v1.Image;
type Field = "labels" | "target" | "annotations";
const RULES = { fields: ["labels", "target", "annotations"], maps: ["labels", "annotations"] } as const;

/** What a client may name an image. Throws InvalidArgument, naming the field. */
export function parseImage(image: Image | undefined): ImageFields {
  const { name = "", labels = {}, target } = image ?? {};
  if (name === "") throw new ManagerError(Code.InvalidArgument, "image.name: is empty");
  return { name, labels: parseLabels("image.labels", labels), target: parseTarget(target) };
}

function parseTarget(target: Image["target"]): ImageTarget {
  const { digest = "", size: sizeBytes = 0n, mediaType = "", annotations = {} } = target ?? {};
  const problems = [
    [!isDigest(digest), `digest ${JSON.stringify(digest)}: not a digest`],
    [sizeBytes <= 0n, `size ${sizeBytes}: must be above 0`],
    [mediaType === "", "media_type: is empty"],
  ] as const;
  const [, problem] = problems.find(([isBroken]) => isBroken) ?? [];
  if (problem !== undefined) throw new ManagerError(Code.InvalidArgument, `image.target.${problem}`);
  return { digest, sizeBytes, mediaType, annotations };
}

/**
 * An image after an update: what the mask names is taken from `given`; without a mask its labels and its target, which stays if
 * `given` has none. Throws InvalidArgument for other paths, and for what may not be stored.
 */
export function updateImage(
  before: ImageFields,
  given: Image,
  mask: google.protobuf.FieldMask | undefined,
): ImageFields {
  const paths = parseMask<Field>(mask, RULES);
  const all: readonly MaskPath<Field>[] = [
    { field: "labels", key: undefined },
    ...(given.target === undefined ? [] : [{ field: "target", key: undefined } as const]),
  ];
  const after = (paths.length === 0 ? all : paths).reduce((image, path) => applyPath(image, given, path), before);
  return { ...after, labels: parseLabels("image.labels", after.labels) };
}

function applyPath(image: ImageFields, given: Image, path: MaskPath<Field>): ImageFields {
  switch (path.field) {
    case "labels":
      return { ...image, labels: applyMapPaths(image.labels, given.labels, [path]) };
    case "target":
      return { ...image, target: parseTarget(given.target) };
    case "annotations": {
      const annotations = applyMapPaths(image.target.annotations, given.target?.annotations ?? {}, [path]);
      return { ...image, target: { ...image.target, annotations } };
    }
  }
}
