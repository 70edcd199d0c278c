import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { decodeLegacyLz4, isLegacyLz4 } from "./lz4.ts";

const SETUP_SECTORS_AT = 0x1f1;
const MAGIC_AT = 0x202;
const PAYLOAD_AT = 0x248;
const SECTOR_BYTES = 512;
const ELF = "\x7fELF";

/**
 * The uncompressed kernel (an ELF file) inside a bzImage: QEMU starts it at its PVH entry, which saves the guest its own decompression.
 * Throws an Error that tells what is wrong with the file. Source: Documentation/arch/x86/boot.rst of the kernel.
 */
export function extractKernel(image: Buffer): Buffer {
  if (image.toString("latin1", 0, 4) === ELF) return image;
  if (image.length < 0x250 || image.toString("latin1", MAGIC_AT, MAGIC_AT + 4) !== "HdrS")
    throw new Error("neither a bzImage nor an ELF file");
  const start = ((image[SETUP_SECTORS_AT] ?? 0) + 1) * SECTOR_BYTES + image.readUInt32LE(PAYLOAD_AT);
  const end = start + image.readUInt32LE(PAYLOAD_AT + 4);
  if (end > image.length) throw new Error(`payload ends at ${end}, the file at ${image.length}`);
  const kernel = decompress(image.subarray(start, end));
  if (kernel.toString("latin1", 0, 4) !== ELF) throw new Error("what is compressed in it is no ELF file");
  return kernel;
}

/** The payload's last four bytes are its uncompressed size: a trailer that the decompressors must not see. */
function decompress(payload: Buffer): Buffer {
  const body = payload.subarray(0, -4);
  const magic = body.toString("hex", 0, 4);
  if (isLegacyLz4(body)) return decodeLegacyLz4(body);
  if (magic === "28b52ffd") return zstdDecompressSync(body);
  if (magic.startsWith("1f8b")) return gunzipSync(payload); // gzip's own trailer is that size
  throw new Error(`compressed in a way that is not known (0x${magic})`);
}
