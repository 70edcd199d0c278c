import { totalKb } from "./memory.ts";
import type { Report } from "./report.ts";
import { short, summarize } from "./statistics.ts";

const WIDTH = 760;
const LABEL_WIDTH = 170;
const VALUE_WIDTH = 90;
const BAR = 14;
const GAP = 22;
const COLORS = ["#2a78d6", "#8a8f98", "#b3b8c0", "#d0a45c"] as const;

/** What has a group of bars, and in which unit. */
const LATENCIES = [
  ["total", "a container: bootstrap to delete"],
  ["exec", "an exec"],
  ["ctr run --rm", "ctr run --rm"],
  ["20 starts at once", "20 starts at once"],
  ["stdout, 512 MiB", "512 MiB of stdout"],
] as const;

interface Bar {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
}

/** Bars for what a user waits for and pays, shorter is better, each group with a scale of its own: an SVG for light and dark pages. */
export function drawReport(report: Report): string {
  const groups = [
    ...LATENCIES.map(([step, title]) => ({ title: `${title}, p50`, bars: latencyBars(report, step) })),
    { title: "memory of 100 pods' shims, PSS", bars: memoryBars(report, 100) },
  ].filter(({ bars }) => bars.length > 1);
  let y = 8;
  const parts = groups.map(({ title, bars }) => {
    const top = y;
    y += 20 + bars.length * (BAR + 4) + GAP;
    return drawGroup(title, bars, top);
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y}" viewBox="0 0 ${WIDTH} ${y}" role="img">
<title>Trimaran beside containerd-shim-runc-v2: shorter is better</title>
<style>text{font:12px system-ui,sans-serif;fill:#1f2328}.title{font-weight:600}@media(prefers-color-scheme:dark){text{fill:#e6edf3}}</style>
${parts.join("\n")}
</svg>
`;
}

function latencyBars({ series }: Report, step: string): Bar[] {
  return series.flatMap(({ name, samples }) => {
    const own = samples[step];
    return own === undefined ? [] : [{ name, value: summarize(own).p50, unit: "ms" }];
  });
}

function memoryBars({ series, memory }: Report, pods: number): Bar[] {
  return series.flatMap(({ name }) => {
    const point = memory[name]?.find((each) => each.pods === pods);
    return point === undefined ? [] : [{ name, value: totalKb(point) / 1024, unit: "MiB" }];
  });
}

function drawGroup(title: string, bars: readonly Bar[], top: number): string {
  const most = Math.max(...bars.map(({ value }) => value));
  const lines = bars.map(({ name, value, unit }, at) => {
    const y = top + 20 + at * (BAR + 4);
    const width = Math.max(1, (value / most) * (WIDTH - LABEL_WIDTH - VALUE_WIDTH));
    return `<text x="0" y="${y + 11}">${name}</text><rect x="${LABEL_WIDTH}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" rx="2" fill="${COLORS[at % COLORS.length]}"/><text x="${(LABEL_WIDTH + width + 6).toFixed(1)}" y="${y + 11}">${short(value)} ${unit}</text>`;
  });
  return `<text class="title" x="0" y="${top + 12}">${title}</text>\n${lines.join("\n")}`;
}
