const BLOCK_BYTES = 512;
const OCTAL_SIZE_LIMIT = 8 ** 11;
const MODE = { file: 0o444, directory: 0o755 } as const;

/** A header for a member of an archive: ustar, owner root, no time. `name` has at most 100 bytes of ASCII. */
export function tarHeader(name: string, kind: "file" | "directory", sizeBytes: number): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  block.write(name, 0, 100, "ascii");
  writeOctal(block, MODE[kind], 100, 8);
  writeOctal(block, 0, 108, 8);
  writeOctal(block, 0, 116, 8);
  writeSize(block, sizeBytes);
  writeOctal(block, 0, 136, 12);
  block.write(kind === "file" ? "0" : "5", 156, "ascii");
  block.write("ustar\x0000", 257, "latin1");
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

/** The zeros after a member's content. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES);
}

/** The end of an archive. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK_BYTES);
}

function writeOctal(block: Buffer, value: number, at: number, length: number): void {
  block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at, "latin1");
}

/** Octal, or GNU's base 256 from 8 GiB on. */
function writeSize(block: Buffer, sizeBytes: number): void {
  if (sizeBytes < OCTAL_SIZE_LIMIT) {
    writeOctal(block, sizeBytes, 124, 12);
  } else {
    block[124] = 0x80;
    block.writeBigUInt64BE(BigInt(sizeBytes), 128);
  }
}
