import { createHash } from "node:crypto";
import { closeSync, constants, openSync } from "node:fs";
import { TarDecoder } from "../tar/tar-decoder.ts";
import { decompress } from "./decompress.ts";
import { LayerWriter, type LayerWriterOptions } from "./layer-writer.ts";
import { type FileExtent, readExtent } from "./read-extent.ts";

/** What the uncompressed stream was. */
export interface Unpacked {
  /** `sha256:` of all of it, trailing bytes included: the diff id. */
  readonly digest: string;
  readonly sizeBytes: number;
}

/** A layer's blob, and whether it is to be taken as it is. */
export interface LayerSource {
  readonly blob: FileExtent;
  /** A media type that says "not compressed": the first bytes are not looked at. */
  readonly isPlain: boolean;
}

/**
 * Unpack a layer into the root of the calling thread (see LayerWriter). `sync`: write the file system out before the answer. Memory does
 * not grow with the layer, but for one time stamp per directory. Throws TarError, LayerError, or the system's error; what was unpacked until then stays.
 */
export async function unpackLayer(source: LayerSource, options: LayerWriterOptions, sync: boolean): Promise<Unpacked> {
  const hash = createHash("sha256");
  using writer = new LayerWriter(options);
  const decoder = new TarDecoder(writer);
  for await (const chunk of decompress(readExtent(source.blob), source.isPlain)) {
    options.meter.addBytes(chunk.length);
    hash.update(chunk);
    decoder.push(chunk);
  }
  decoder.finish();
  writer.finish();
  if (sync) syncRoot(options);
  return { digest: `sha256:${hash.digest("hex")}`, sizeBytes: options.meter.bytes };
}

function syncRoot({ libc }: LayerWriterOptions): void {
  const fd = openSync("/", constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    libc.syncfs(fd);
  } finally {
    closeSync(fd);
  }
}
