import type { ContainerRow, Usage } from "./model.ts";

const KEPT = 60;

/** What the page has seen of each container's use: a browser's own memory, a minute or two. */
export class UsageHistory {
  readonly #seen = new Map<string, { last: Usage; percents: number[] }>();

  /** Take a look's numbers in, and forget who is gone. */
  add(rows: readonly ContainerRow[]): void {
    const present = new Set<string>();
    for (const { id, usage } of rows) {
      if (usage === null) continue;
      present.add(id);
      const entry = this.#seen.get(id) ?? { last: usage, percents: [] };
      const passedMs = usage.atMs - entry.last.atMs;
      if (passedMs > 0) entry.percents.push(Math.max(0, ((usage.cpuMs - entry.last.cpuMs) / passedMs) * 100));
      entry.percents.splice(0, entry.percents.length - KEPT);
      entry.last = usage;
      this.#seen.set(id, entry);
    }
    for (const id of this.#seen.keys()) if (!present.has(id)) this.#seen.delete(id);
  }

  /** Of one processor, newest last. */
  percents(id: string): readonly number[] {
    return this.#seen.get(id)?.percents ?? [];
  }
}

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [KEPT - 1, 24];

/** A small curve, which the number beside it says in words. */
export function sparkline(): SVGSVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "spark");
  svg.setAttribute("viewBox", `0 -1 ${WIDTH} ${HEIGHT + 2}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(SVG, "path"));
  return svg;
}

/** Draw it anew: the right end is now, the height is its highest value, or one processor in a hundred. */
export function drawSparkline(svg: SVGSVGElement, percents: readonly number[]): void {
  const top = Math.max(1, ...percents);
  const points = percents.map((value, at) => {
    return `${WIDTH - (percents.length - 1 - at)} ${(HEIGHT - (value / top) * HEIGHT).toFixed(1)}`;
  });
  svg.firstElementChild?.setAttribute("d", points.length < 2 ? "" : `M${points.join("L")}`);
}
