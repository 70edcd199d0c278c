import { readFile } from "node:fs/promises";

/** The mount points at or below a path, the last mounted first: the order in which they can be unmounted. */
export async function mountPointsBelow(path: string): Promise<string[]> {
  return parseMountPoints(await readFile("/proc/self/mountinfo", "utf8"))
    .filter((point) => point === path || point.startsWith(`${path}/`))
    .reverse();
}

/** Field 5 of each line of mountinfo, with its octal escapes decoded. */
export function parseMountPoints(mountinfo: string): string[] {
  return mountinfo
    .split("\n")
    .map((line) => line.split(" ")[4])
    .filter((point) => point !== undefined)
    .map((point) =>
      point.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8))),
    );
}
