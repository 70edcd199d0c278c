const LONGEST_CELL = 40;

/** Left-aligned columns, two spaces apart; cells longer than `longest` are cut, control characters shown as `?`. */
export function table(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  longest: number = LONGEST_CELL,
): string {
  const cells = [head, ...rows.map((row) => row.map((text) => cell(text, longest)))];
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  return cells
    .map(
      (row) =>
        `${row
          .map((text, column) => text.padEnd(widths[column] ?? 0))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

function cell(text: string, longest: number): string {
  const clean = text.replace(/\p{Cc}/gu, "?");
  return clean.length <= longest ? clean : `${clean.slice(0, longest - 1)}…`;
}
