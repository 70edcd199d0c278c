import type { WaterfallRow } from "./waterfall.ts";

const ROW = 18;
const NAMES = 320;
/** What fits before the bars. */
const NAME_LENGTH = 50;
const BARS = 680;
const TOP = 28;
const COLORS: Readonly<Record<string, string>> = {
  command: "#4e79a7",
  daemon: "#59a14f",
  "task server": "#f28e2b",
  monitor: "#b07aa1",
  container: "#e15759",
};
const OTHER = "#9c9c9c";

/** A waterfall as a picture of its own: no script, no font, no file beside it. */
export function formatSvg(rows: readonly WaterfallRow[]): string {
  const wholeMs = Math.max(rows[0]?.durationMs ?? 0, 1e-3);
  const height = TOP + rows.length * ROW + 8;
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" width="${NAMES + BARS + 90}" height="${height}" font-family="sans-serif" font-size="11">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    ...gridOf(wholeMs, height),
    ...rows.map((row, i) => rowOf(row, TOP + i * ROW, wholeMs)),
    "</svg>",
  ].join("\n")}\n`;
}

function rowOf(row: WaterfallRow, y: number, wholeMs: number): string {
  const { name, process, depth, startMs, durationMs, cpuMs, error } = row;
  const x = NAMES + (Math.max(0, startMs) / wholeMs) * BARS;
  const width = Math.max(1, (durationMs / wholeMs) * BARS);
  const facts = [
    `${name} (${process})`,
    `${durationMs.toFixed(3)} ms`,
    ...(cpuMs === undefined ? [] : [`${cpuMs.toFixed(3)} ms on a CPU`]),
    ...(error === undefined ? [] : [error]),
  ];
  return [
    `<g><title>${escapeXml(facts.join(", "))}</title>`,
    `<text x="${8 + depth * 12}" y="${y + 12}">${escapeXml(shorten(name, NAME_LENGTH - 2 * depth))}</text>`,
    `<rect x="${x.toFixed(1)}" y="${y + 3}" width="${width.toFixed(1)}" height="${ROW - 6}" fill="${COLORS[process] ?? OTHER}"${error === undefined ? "" : ' stroke="#000"'}/>`,
    `<text x="${(x + width + 4).toFixed(1)}" y="${y + 12}" fill="#555">${durationMs.toFixed(2)}</text></g>`,
  ].join("");
}

/** The title has the whole of it. */
function shorten(name: string, length: number): string {
  return name.length <= length ? name : `${name.slice(0, Math.max(1, length - 1))}…`;
}

/** Lines at a tenth of the whole each. */
function gridOf(wholeMs: number, height: number): string[] {
  return Array.from({ length: 11 }, (_, i) => {
    const x = NAMES + (i * BARS) / 10;
    return `<line x1="${x}" y1="20" x2="${x}" y2="${height}" stroke="#eee"/><text x="${x}" y="14" fill="#555">${((i * wholeMs) / 10).toFixed(1)} ms</text>`;
  });
}

/** What a container is called must stay text. */
function escapeXml(text: string): string {
  return text.replace(
    /[&<>"']|\p{Cc}/gu,
    (each) => `&#${(each.codePointAt(0) ?? 0) < 0x20 ? 0xfffd : each.codePointAt(0)};`,
  );
}
