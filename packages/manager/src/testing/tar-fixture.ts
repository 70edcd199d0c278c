/** One member of an archive that a test makes; what is left out is 0 or empty. */
export interface FixtureEntry {
  readonly name: string;
  readonly type?: string;
  readonly content?: string | Uint8Array;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly device?: readonly [number, number];
  readonly pax?: Readonly<Record<string, string | Uint8Array>>;
}

/** A ustar archive with PAX headers where asked for, ended by two blocks of zeros. */
export function makeTar(entries: readonly FixtureEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(member), Buffer.alloc(1024)]);
}

function member(entry: FixtureEntry): Buffer[] {
  const content = Buffer.from(entry.content ?? "");
  const pax = entry.pax === undefined ? [] : member({ name: "pax", type: "x", content: paxBody(entry.pax) });
  return [...pax, headerBlock(entry, content.length), content, Buffer.alloc((512 - (content.length % 512)) % 512)];
}

/** One header block with a right checksum. */
export function headerBlock(entry: FixtureEntry, sizeBytes: number): Buffer {
  const block = Buffer.alloc(512);
  const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, "0")}\0`;
  block.write(entry.name, 0, 100, "utf8");
  block.write(octal(entry.mode ?? 0o644, 8), 100);
  block.write(octal(entry.uid ?? 0, 8), 108);
  block.write(octal(entry.gid ?? 0, 8), 116);
  block.write(octal(sizeBytes, 12), 124);
  block.write(octal(entry.mtime ?? 0, 12), 136);
  block.write(entry.type ?? "0", 156);
  block.write(entry.linkName ?? "", 157, 100, "utf8");
  block.write("ustar\x0000", 257, "latin1");
  block.write(octal(entry.device?.[0] ?? 0, 8), 329);
  block.write(octal(entry.device?.[1] ?? 0, 8), 337);
  return sealHeader(block);
}

/** Put the checksum in. */
export function sealHeader(block: Buffer): Buffer {
  block.fill(0x20, 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}

function paxBody(pax: Readonly<Record<string, string | Uint8Array>>): Buffer {
  const records = Object.entries(pax).map(([key, value]) => {
    const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from("\n")]);
    let length = rest.length + 1;
    while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
    return Buffer.concat([Buffer.from(String(length)), rest]);
  });
  return Buffer.concat(records);
}
