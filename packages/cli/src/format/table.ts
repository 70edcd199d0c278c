const LONGEST_CELL = 40;

/** Left-aligned columns, two spaces apart; long cells are cut, control characters shown as `?`. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows.map((row) => row.map(cell))];
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

function cell(text: string): string {
  const clean = text.replace(/\p{Cc}/gu, "?");
  return clean.length <= LONGEST_CELL ? clean : `${clean.slice(0, LONGEST_CELL - 1)}…`;
}
