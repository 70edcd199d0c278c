import { type FixtureEntry, makeTar, sealHeader } from "../../testing/tar-fixture.ts";

const BLOCK = 512;
/** Where numbers, types and names are in a header: a byte there does more than one in a content. */
const TARGETS = [
  0, 1, 50, 99, 100, 107, 108, 124, 130, 135, 136, 148, 156, 157, 200, 257, 263, 329, 337, 345, 386, 482, 483, 508,
];

/** Archives that try to get out, to get in the way, or to confuse. */
export const HOSTILE_LAYERS: readonly (readonly FixtureEntry[])[] = [
  [{ name: "../../outside/a" }, { name: "/outside/b" }, { name: "x/../../../../outside/c" }],
  [{ name: "up", type: "2", linkName: "../../outside" }, { name: "up/a" }, { name: "up/d", type: "5" }],
  [{ name: "abs", type: "2", linkName: "/../outside" }, { name: "abs/.wh..wh..opq" }, { name: "abs/.wh.kept" }],
  [
    { name: "a", type: "2", linkName: "b" },
    { name: "b", type: "2", linkName: "../outside" },
    { name: "a/x" },
    { name: "h", type: "1", linkName: "a/kept" },
  ],
  [
    { name: "h", type: "1", linkName: "../outside/kept" },
    { name: "h", content: "overwritten" },
  ],
  [
    { name: "d", type: "5" },
    { name: "d/f", content: "1" },
    { name: "d", type: "2", linkName: "../outside" },
    { name: "d/kept", content: "2" },
    { name: "d", type: "5" },
  ],
  [{ name: ".", type: "2", linkName: "/" }, { name: "..", type: "2", linkName: "/" }, { name: "./a" }],
  [
    { name: "same", content: "1" },
    { name: "same", type: "5" },
    { name: "same", type: "6" },
    { name: "same", type: "1", linkName: "same" },
  ],
  [{ name: "s", pax: { "GNU.sparse.map": "0,1,8,1", "GNU.sparse.size": "9007199254740991" }, content: "ab" }],
  [{ name: "p", pax: { path: `${"x/".repeat(100)}y`, linkpath: "../outside", size: "3" }, content: "abc" }],
  [
    { name: "dev", type: "4", device: [8, 0], mode: 0o6777 },
    { name: "dev", content: "not a disk" },
  ],
  [{ name: "t", type: "2", linkName: "t" }, { name: "t/t" }, { name: "t", type: "1", linkName: "t/t" }],
  [{ name: "w", pax: { "SCHILY.xattr.trusted.overlay.redirect": "/outside", "SCHILY.xattr.user.x": "y" } }],
];

/** The bytes of a hostile archive, changed at random; mostly with right checksums, so that the changes get deep. */
export function mutate(random: (limit: number) => number): Buffer {
  const entries = HOSTILE_LAYERS[random(HOSTILE_LAYERS.length)] ?? [];
  const more = HOSTILE_LAYERS[random(HOSTILE_LAYERS.length)] ?? [];
  const bytes = makeTar([...entries, ...more]);
  for (let count = random(6); count > 0; count--) {
    const block = random(bytes.length / BLOCK) * BLOCK;
    const at = random(3) === 0 ? random(BLOCK) : (TARGETS[random(TARGETS.length)] ?? 0);
    bytes[block + at] = random(2) === 0 ? random(256) : 0x30 + random(10);
  }
  if (random(4) > 0) reseal(bytes);
  return random(10) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
}

/** Give everything that looks like a header the checksum that it has. */
function reseal(bytes: Buffer): void {
  for (let at = 0; at < bytes.length; at += BLOCK) {
    const block = bytes.subarray(at, at + BLOCK);
    if (block.toString("latin1", 257, 262) === "ustar") sealHeader(block);
  }
}
