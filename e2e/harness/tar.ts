/** A member of a tar archive. */
export type TarEntry = {
  readonly path: string;
  /** Permission bits. Default: 0o755 for folders, 0o644 for files. */
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
} & (
  | { readonly kind: "file"; readonly data: Uint8Array }
  | { readonly kind: "directory" }
  | { readonly kind: "symlink"; readonly target: string }
);

const TYPE = { file: "0", symlink: "2", directory: "5" } as const;
const BLOCK = 512;

/** A ustar archive of `entries`, in their order, with all times 0: the same input gives the same bytes. Paths up to 100 bytes. */
export function encodeTar(entries: readonly TarEntry[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    const data = entry.kind === "file" ? entry.data : new Uint8Array();
    parts.push(header(entry, data.length), data, new Uint8Array((BLOCK - (data.length % BLOCK)) % BLOCK));
  }
  return Buffer.concat([...parts, new Uint8Array(2 * BLOCK)]);
}

function header(entry: TarEntry, size: number): Buffer {
  if (Buffer.byteLength(entry.path) > 100) throw new Error(`tar: path too long: ${entry.path}`);
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, width: number) =>
    block.write(value.toString(8).padStart(width - 1, "0"), at);
  block.write(entry.path, 0);
  octal(entry.mode ?? (entry.kind === "file" ? 0o644 : 0o755), 100, 8);
  octal(entry.uid ?? 0, 108, 8);
  octal(entry.gid ?? 0, 116, 8);
  octal(size, 124, 12);
  octal(0, 136, 12);
  block.write(" ".repeat(8), 148); // the checksum counts as blanks while it is computed
  block.write(TYPE[entry.kind], 156);
  if (entry.kind === "symlink") block.write(entry.target, 157);
  block.write("ustar\x0000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}
