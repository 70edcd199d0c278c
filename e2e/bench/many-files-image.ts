import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { encodeTar, type TarEntry } from "../harness/tar.ts";

const FILES = 25_000;
const FILES_PER_DIRECTORY = 50;
/** Sizes go round; 12 KB is their mean, so that the layer has 300 MB. */
const SIZES_BYTES = [200, 1000, 3000, 8000, 47_800] as const;

/** An OCI image of one layer with 25,000 files, 300 MB of text that packs about 4 to 1, as an archive for `ctr images import`. */
export function manyFilesImage(name: string, compression: "none" | "gzip"): Buffer {
  const tar = encodeTar(layerEntries());
  const layer = compression === "gzip" ? gzipSync(tar) : tar;
  const blobs = new Map<string, Uint8Array>();
  const blob = (mediaType: string, data: Uint8Array) => {
    blobs.set(digest(data), data);
    return { mediaType, digest: `sha256:${digest(data)}`, size: data.length };
  };
  const oci = "application/vnd.oci.image";
  const manifest = blob(
    `${oci}.manifest.v1+json`,
    json({
      schemaVersion: 2,
      mediaType: `${oci}.manifest.v1+json`,
      config: blob(`${oci}.config.v1+json`, json(config(`sha256:${digest(tar)}`))),
      layers: [blob(`${oci}.layer.v1.tar${compression === "gzip" ? "+gzip" : ""}`, layer)],
    }),
  );
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations: { "io.containerd.image.name": name } }] };
  return encodeTar([
    { path: "oci-layout", kind: "file", data: json({ imageLayoutVersion: "1.0.0" }) },
    { path: "index.json", kind: "file", data: json(index) },
    ...[...blobs].map(([hex, data]): TarEntry => ({ path: `blobs/sha256/${hex}`, kind: "file", data })),
  ]);
}

function layerEntries(): TarEntry[] {
  const text = Buffer.from(
    Array.from({ length: 40_000 }, (_, at) => digest(Buffer.from(String(at % 9000))).slice(0, 5)).join("\n"),
  );
  const entries: TarEntry[] = [];
  for (let at = 0; at < FILES; at++) {
    const directory = `usr/share/many/d${Math.floor(at / FILES_PER_DIRECTORY)}`;
    if (at % FILES_PER_DIRECTORY === 0) entries.push({ path: `${directory}/`, kind: "directory" });
    const begin = (at * 7919) % (text.length - 50_000);
    const data = text.subarray(begin, begin + (SIZES_BYTES[at % SIZES_BYTES.length] ?? 0));
    entries.push({ path: `${directory}/f${at}`, kind: "file", data });
  }
  return entries;
}

function config(diffId: string): object {
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  return { architecture, os: "linux", config: {}, rootfs: { type: "layers", diff_ids: [diffId] } };
}

const digest = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");
const json = (value: unknown) => Buffer.from(JSON.stringify(value));
