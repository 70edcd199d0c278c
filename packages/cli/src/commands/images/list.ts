import type { ImageSummary } from "@trimaran/manager";
import { listImages } from "@trimaran/manager/images";
import type { ManagerFlags } from "../../cli-context.ts";
import { formatAge } from "../../format/format-age.ts";
import { formatSize } from "../../format/format-size.ts";
import { writeList } from "../../format/write-list.ts";
import { command } from "../../report-error.ts";

export interface ImagesFlags extends ManagerFlags {
  readonly quiet: boolean;
  readonly json: boolean;
}

/** `trimaran images`. */
export const imagesCommand = command<ImagesFlags, []>("images", async (context, flags) => {
  await using client = await context.openClient(flags, "read");
  writeList(context, flags, await listImages(client), {
    head: ["NAME", "DIGEST", "CREATED", "CONTENT", "UNPACKED"],
    row: toRow,
    name: ({ name }) => name,
    json: toJson,
    empty: `no images in namespace ${client.namespace}: trimaran pull NAME, or trimaran import FILE`,
  });
  return 0;
});

function toRow({ name, digest, createdAtNs, contentBytes, snapshotBytes }: ImageSummary): string[] {
  const age = formatAge(Date.now() - Number(createdAtNs / 1_000_000n));
  return [
    name,
    digest.slice(0, 19),
    age,
    formatSize(contentBytes),
    snapshotBytes === 0 ? "-" : formatSize(snapshotBytes),
  ];
}

function toJson({ name, digest, mediaType, createdAtNs, contentBytes, snapshotBytes, labels }: ImageSummary) {
  const createdAt = new Date(Number(createdAtNs / 1_000_000n)).toISOString();
  return { name, digest, mediaType, createdAt, contentBytes, snapshotBytes, labels };
}
