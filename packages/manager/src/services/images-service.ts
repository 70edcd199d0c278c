import { containerd, fromTimestamp, type imagesV1, type Timestamp, toTimestamp } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";
import type { Implementation } from "../grpc/implementation.ts";
import { requireNamespace } from "../grpc/service-call.ts";
import { parseFilters } from "../metadata/filters.ts";
import { type ImageRecord, ImageRecords } from "../metadata/images.ts";
import { leaseResource } from "../metadata/leases.ts";
import { parseImage, updateImage } from "./image-update.ts";
import { publishEvent } from "./publish-event.ts";
import type { RecordsHost } from "./records-host.ts";

const { ImageCreate, ImageDelete, ImageUpdate } = containerd.services.images.v1;

/** containerd.services.images.v1.Images: names of blobs, which need not exist. */
export function imagesService(host: RecordsHost): Implementation<typeof imagesV1> {
  const { database } = host;
  const records = new ImageRecords(database);
  const timeOf = (epoch: Timestamp | undefined) => (epoch === undefined ? host.nowNs() : fromTimestamp(epoch));
  return {
    get: ({ name }, call) => ({ image: toImage(records.get(requireNamespace(call), name)) }),
    list({ filters }, call) {
      const matches = parseFilters(filters);
      const found = records.list(requireNamespace(call)).filter((image) => matches(imageFields(image)));
      return { images: found.map(toImage) };
    },
    create({ image: given, sourceDateEpoch }, call) {
      const namespace = requireNamespace(call);
      const atNs = timeOf(sourceDateEpoch);
      const image = { ...parseImage(given), createdAtNs: atNs, updatedAtNs: atNs };
      database.transaction(() => {
        records.create(namespace, image);
        leaseResource(database, call, "images", image.name);
      });
      publishEvent(host, namespace, "/images/create", ImageCreate, { name: image.name, labels: image.labels });
      host.collection.changed();
      return { image: toImage(image) };
    },
    update({ image: given, updateMask, sourceDateEpoch }, call) {
      const namespace = requireNamespace(call);
      if (given === undefined || given.name === "") {
        throw new ManagerError(Code.InvalidArgument, "image.name: is empty");
      }
      const image = database.transaction((): ImageRecord => {
        const before = records.get(namespace, given.name);
        const after = { ...before, ...updateImage(before, given, updateMask), updatedAtNs: timeOf(sourceDateEpoch) };
        records.replace(namespace, after);
        return after;
      });
      publishEvent(host, namespace, "/images/update", ImageUpdate, { name: image.name, labels: image.labels });
      host.collection.changed();
      return { image: toImage(image) };
    },
    async delete({ name, sync, target }, call) {
      const namespace = requireNamespace(call);
      records.delete(namespace, name, target?.digest);
      publishEvent(host, namespace, "/images/delete", ImageDelete, { name });
      if (sync) await host.collection.collect();
      else host.collection.deleted();
      return {};
    },
  };
}

function toImage({ name, labels, target, createdAtNs, updatedAtNs }: ImageRecord) {
  const { mediaType, digest, sizeBytes: size, annotations } = target;
  const times = { createdAt: toTimestamp(createdAtNs), updatedAt: toTimestamp(updatedAtNs) };
  return { name, labels, target: { mediaType, digest, size, annotations }, ...times };
}

function imageFields({ name, labels, target }: ImageRecord) {
  const { digest, mediaType: mediatype, annotations } = target;
  return { name, labels, annotations, target: { digest, mediatype } };
}
