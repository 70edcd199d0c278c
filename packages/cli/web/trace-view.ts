import { element } from "./dom.ts";

/** What a line of a waterfall needs of a span of `trimaran run --trace-json FILE`. */
interface Span {
  readonly spanId: string;
  /** Empty for the whole. */
  readonly parentId: string;
  readonly name: string;
  readonly process: string;
  readonly startMs: number;
  readonly endMs: number;
}

/** A file that the user opens: nothing is sent anywhere, the browser reads and draws it. */
export function traceOpener(): HTMLElement {
  const input = element("input", { type: "file", accept: ".json,application/json" });
  const place = element("div", { "aria-live": "polite" });
  input.addEventListener("change", () => void open(input, place));
  return element(
    "div",
    {},
    element("h2", {}, "One start in full"),
    element(
      "div",
      { class: "tools" },
      element("label", {}, "A file that trimaran run --trace-json FILE has written", input),
    ),
    place,
  );
}

async function open(input: HTMLInputElement, place: HTMLElement): Promise<void> {
  const file = input.files?.[0];
  if (file === undefined) return;
  try {
    place.replaceChildren(waterfall(parseSpans(await file.text())));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    place.replaceChildren(element("p", { class: "hint" }, `${file.name}: ${why}`));
  }
}

/** Times count from the first span's. Throws SyntaxError for what is no such file. */
function parseSpans(text: string): Span[] {
  const { spans } = (JSON.parse(text) ?? {}) as { readonly spans?: unknown };
  if (!Array.isArray(spans) || spans.length === 0) throw new SyntaxError("there are no spans in it");
  const origin = toNs(spans[0]?.startNs);
  const toMs = (value: unknown) => Number(toNs(value) - origin) / 1e6;
  return spans.map((value: Readonly<Record<string, unknown>>) => {
    const [startMs, endMs] = [toMs(value.startNs), toMs(value.endNs)];
    if (!(startMs <= endMs)) throw new SyntaxError(`span ${String(value.name)}: no times`);
    return {
      spanId: String(value.spanId),
      parentId: String(value.parentId ?? ""),
      name: String(value.name),
      process: String(value.process),
      startMs,
      endMs,
    };
  });
}

/** Nanoseconds since boot: more than a number can tell apart after a hundred days. */
function toNs(value: unknown): bigint {
  if (typeof value === "string" && /^\d+$/.test(value)) return BigInt(value);
  throw new SyntaxError(`${JSON.stringify(value)} is no time`);
}

/** A parent before its parts, those in the order in which they began. What is left out belongs to a circle. */
function inOrder(spans: readonly Span[], root: Span): { readonly span: Span; readonly depth: number }[] {
  const known = new Set(spans.map(({ spanId }) => spanId));
  const parts = Map.groupBy(
    spans.filter((span) => span !== root && span.startMs < root.endMs),
    ({ parentId }) => (known.has(parentId) ? parentId : root.spanId),
  );
  const ordered: { span: Span; depth: number }[] = [];
  const visit = (span: Span, depth: number): void => {
    ordered.push({ span, depth });
    const own = parts.get(span.spanId) ?? [];
    parts.delete(span.spanId); // each once, whatever the file says of parents
    for (const part of own.sort((a, b) => a.startMs - b.startMs)) visit(part, depth + 1);
  };
  visit(root, 0);
  return ordered;
}

function waterfall(spans: readonly Span[]): HTMLElement {
  const root = spans.find(({ parentId }) => parentId === "");
  if (root === undefined) throw new SyntaxError("no span is the whole");
  const wholeMs = root.endMs - root.startMs || 1;
  const lanes = inOrder(spans, root).flatMap(({ span, depth }) => {
    const name = element("span", {}, span.name, " ", element("small", {}, span.process));
    name.style.paddingLeft = `${depth * 14}px`;
    const bar = element("div", { class: "bar", "data-process": span.process });
    bar.style.marginLeft = `${Math.max(0, ((span.startMs - root.startMs) / wholeMs) * 100)}%`;
    bar.style.width = `${Math.min(100, ((span.endMs - span.startMs) / wholeMs) * 100)}%`;
    const ms = (span.endMs - span.startMs).toFixed(2);
    return [
      name,
      element("div", { class: "lane", "aria-hidden": "true" }, bar),
      element("span", { class: "mono" }, `${ms} ms`),
    ];
  });
  return element("div", { class: "card waterfall" }, ...lanes);
}
