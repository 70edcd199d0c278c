import { readFileSync } from "node:fs";
import type { Syscalls } from "./syscalls.ts";

/**
 * Give back what a busy time has left: free memory of malloc, and pages of programs and libraries, which are clean and come back
 * from the page cache when they are touched. For a process that is about to be idle; takes some 10 ms.
 */
export function trimMemory(syscalls: Syscalls): void {
  syscalls.mallocTrim();
  for (const { start, length } of parseCleanMappings(readFileSync("/proc/self/smaps", "latin1"))) {
    syscalls.dropPages(start, length);
  }
}

interface Mapping {
  readonly start: bigint;
  readonly length: number;
}

/**
 * The read-only private mappings of files from the text of smaps, without those that hold a page of their own (relocations of a
 * library, say): nothing is lost if their pages go.
 */
export function parseCleanMappings(smaps: string): Mapping[] {
  const mappings = smaps.split(/\n(?=[0-9a-f]+-[0-9a-f]+ )/);
  return mappings.flatMap((text) => {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) r-[-x]p \S+ \S+ [1-9]\d* +\//.exec(text) ?? [];
    if (from === undefined || to === undefined || !/^Anonymous: +0 kB$/m.test(text)) return [];
    const [start, end] = [BigInt(`0x${from}`), BigInt(`0x${to}`)];
    return [{ start, length: Number(end - start) }];
  });
}
