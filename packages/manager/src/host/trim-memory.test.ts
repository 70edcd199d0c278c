import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { loadSyscalls } from "./syscalls.ts";
import { parseCleanMappings, trimMemory } from "./trim-memory.ts";

const mapping = (head: string, anonymousKb: number) =>
  `${head}\nSize:   8 kB\nRss:   8 kB\nAnonymous:  ${anonymousKb} kB\nVmFlags: rd ex\n`;

test("only read-only private mappings of files without pages of their own count", () => {
  const smaps = [
    mapping("00400000-00402000 r--p 00000000 fe:00 53 /bin/node", 0),
    mapping("00402000-00404000 r-xp 00002000 fe:00 53 /bin/node", 0),
    mapping("00404000-00406000 rw-p 00004000 fe:00 53 /bin/node", 0),
    mapping("00406000-00408000 r--p 00006000 fe:00 54 /lib/x.so", 4),
    mapping("00408000-0040a000 r-xs 00006000 fe:00 54 /lib/x.so", 0),
    mapping("0040a000-0040c000 r--p 00000000 00:00 0", 0),
    mapping("7ffd0000-7ffd2000 r-xp 00000000 00:00 0 [vdso]", 0),
  ].join("");
  assert.deepEqual(parseCleanMappings(smaps), [
    { start: 0x400000n, length: 0x2000 },
    { start: 0x402000n, length: 0x2000 },
  ]);
});

test("a trimmed process is smaller and lives", () => {
  const fileKb = () => {
    const rollup = readFileSync("/proc/self/smaps_rollup", "latin1");
    const of = (name: string) => Number(new RegExp(`^${name}: +(\\d+)`, "m").exec(rollup)?.[1]);
    return of("Rss") - of("Anonymous");
  };
  const syscalls = loadSyscalls();
  const before = fileKb();
  trimMemory(syscalls);
  assert.ok(fileKb() < before * 0.8, `${fileKb()} KB of ${before}`);
  assert.equal(JSON.parse('{"a":[1,2]}').a.length, 2);
});
