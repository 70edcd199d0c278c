const LEGACY_MAGIC = 0x184c2102;
/** What a block of the legacy format holds at most. */
const BLOCK_LIMIT_BYTES = 8 * 1024 * 1024;

/** Whether `data` begins as lz4's legacy format, which is what the kernel's build uses. */
export function isLegacyLz4(data: Buffer): boolean {
  return data.length >= 8 && data.readUInt32LE(0) === LEGACY_MAGIC;
}

/**
 * Decompress lz4's legacy format: a magic, then blocks, each with its compressed length before it. Throws RangeError on what is cut short or
 * points outside. The kernel's build appends the whole's size: what is left over and too short for a block ends it.
 * Source: lz4_Frame_format.md, "Legacy frame"; lz4_Block_format.md.
 */
export function decodeLegacyLz4(data: Buffer): Buffer {
  if (!isLegacyLz4(data)) throw new RangeError("no lz4 legacy frame");
  const blocks: Buffer[] = [];
  let at = 4;
  while (at + 4 <= data.length) {
    const size = data.readUInt32LE(at);
    if (at + 4 + size > data.length) {
      if (at + 4 === data.length) break; // not a block: the size of it all
      throw new RangeError(`lz4 block of ${size} bytes at ${at}: cut short`);
    }
    blocks.push(decodeBlock(data.subarray(at + 4, at + 4 + size)));
    at += 4 + size;
  }
  return Buffer.concat(blocks);
}

function decodeBlock(from: Buffer): Buffer {
  const to = Buffer.allocUnsafe(BLOCK_LIMIT_BYTES);
  let read = 0;
  let written = 0;
  const byte = (): number => {
    const value = from[read++];
    if (value === undefined) throw new RangeError("lz4 block: cut short");
    return value;
  };
  const length = (nibble: number): number => {
    let sum = nibble;
    if (nibble === 15) for (let more = 255; more === 255; sum += more) more = byte();
    return sum;
  };
  while (read < from.length) {
    const token = byte();
    const literals = length(token >> 4);
    if (read + literals > from.length || written + literals > to.length) throw new RangeError("lz4 literals: too long");
    from.copy(to, written, read, read + literals);
    read += literals;
    written += literals;
    if (read === from.length) break; // the last sequence has no match
    const offset = byte() | (byte() << 8);
    const match = length(token & 15) + 4;
    if (offset === 0 || offset > written || written + match > to.length) throw new RangeError("lz4 match: outside");
    copyMatch(to, written, offset, match);
    written += match;
  }
  return to.subarray(0, written);
}

/** Source and target may overlap: then what was just written repeats. */
function copyMatch(to: Buffer, written: number, offset: number, match: number): void {
  if (offset >= match) to.copyWithin(written, written - offset, written - offset + match);
  else for (let i = 0; i < match; i++) to[written + i] = to[written + i - offset] ?? 0;
}
