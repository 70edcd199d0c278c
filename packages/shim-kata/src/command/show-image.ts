import type { ImageManifest } from "../image/manifest.ts";

/** What an image is made of, for people: a line of each file, and why it is there. */
export function describeImage({ key, release, kernelPackage, outputs, contents }: ImageManifest): string {
  const rows = contents.map(({ where, path, bytes, reason }) => [where, bytes.toLocaleString("en"), path, reason]);
  const table = [["PART", "BYTES", "FILE", "REASON"], ...rows];
  const widths = [0, 1, 2].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)));
  const lines = table.map(([where = "", bytes = "", path = "", reason = ""]) =>
    [where.padEnd(widths[0] ?? 0), bytes.padStart(widths[1] ?? 0), path.padEnd(widths[2] ?? 0), reason].join("  "),
  );
  const total = Object.values(outputs).reduce((sum, { bytes }) => sum + bytes, 0);
  return [`image ${key}: ${kernelPackage} (${release}), ${total.toLocaleString("en")} bytes`, "", ...lines, ""].join(
    "\n",
  );
}
