import type { WaterfallRow } from "./waterfall.ts";

const SHORTEST_BAR = 10;

/**
 * A waterfall for a terminal: when, how long, what of that on a CPU, who, what, and a bar in the whole's scale. `columns` is the terminal's width.
 */
export function formatText(rows: readonly WaterfallRow[], columns: number): string {
  const [whole] = rows;
  if (whole === undefined) return "";
  const cells = rows.map((row) => ({
    row,
    head: [
      ms(row.startMs).padStart(9),
      ms(row.durationMs).padStart(9),
      (row.cpuMs === undefined ? "" : ms(row.cpuMs)).padStart(8),
    ].join(""),
    name: `${"  ".repeat(row.depth)}${row.name}`,
  }));
  const names = Math.max(4, ...cells.map(({ name }) => name.length));
  const processes = Math.max(3, ...rows.map(({ process }) => process.length));
  const width = Math.max(SHORTEST_BAR, columns - 26 - 2 - names - 2 - processes - 2 - 1);
  const lines = cells.map(({ row, head, name }) =>
    `${head}  ${name.padEnd(names)}  ${row.process.padEnd(processes)}  ${bar(row, whole.durationMs, width)}${row.error === undefined ? "" : `  failed: ${row.error}`}`.trimEnd(),
  );
  const title = `${"at ms".padStart(9)}${"took ms".padStart(9)}${"cpu ms".padStart(8)}  ${"what".padEnd(names)}  who`;
  return `${[title, ...lines].join("\n")}\n`;
}

/** At least one mark, wherever it is. */
function bar({ startMs, durationMs }: WaterfallRow, wholeMs: number, width: number): string {
  const scale = wholeMs > 0 ? width / wholeMs : 0;
  const from = Math.min(width - 1, Math.max(0, Math.floor(startMs * scale)));
  const length = Math.max(1, Math.min(width - from, Math.round(durationMs * scale)));
  return `${" ".repeat(from)}${"█".repeat(length)}`;
}

function ms(value: number): string {
  return value.toFixed(value < 10 ? 2 : 1);
}
