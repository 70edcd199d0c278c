/** One line of Prometheus' text format. */
export interface ParsedSample {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.e+-]+|[+-]Inf|NaN)$/s;
const LABEL = /([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)/gy;

/**
 * A reader of the text format that is as strict as promtool: TYPE and HELP once and before the samples of a family, families not
 * mixed, no series twice, histograms cumulative with +Inf equal to _count. Throws with the line. Source: Prometheus, "Exposition formats".
 */
export function parseExposition(text: string): ParsedSample[] {
  if (!text.endsWith("\n")) throw new Error("the last line has no end");
  const types = new Map<string, string>();
  const helps = new Set<string>();
  const seen = new Set<string>();
  const samples: ParsedSample[] = [];
  let family = "";
  for (const line of text.slice(0, -1).split("\n")) {
    const [, kind, name = "", rest = ""] = /^# (HELP|TYPE) (\S+) ?(.*)$/s.exec(line) ?? [];
    if (kind === "HELP") {
      if (helps.has(name)) throw new Error(`second HELP: ${line}`);
      helps.add(name);
      continue;
    }
    if (kind === "TYPE") {
      if (types.has(name) || !["counter", "gauge", "histogram"].includes(rest)) throw new Error(`bad TYPE: ${line}`);
      types.set(name, rest);
      family = name;
      continue;
    }
    const sample = parseSample(line);
    const key = JSON.stringify([sample.name, Object.entries(sample.labels).sort()]);
    if (seen.has(key)) throw new Error(`a series twice: ${line}`);
    seen.add(key);
    const base = types.get(family) === "histogram" ? sample.name.replace(/_(bucket|sum|count)$/, "") : sample.name;
    if (base !== family) throw new Error(`outside its family ${family}: ${line}`);
    if (types.get(family) === "counter" && !sample.name.endsWith("_total"))
      throw new Error(`a counter without _total: ${line}`);
    samples.push(sample);
  }
  checkHistograms(samples, types);
  return samples;
}

function parseSample(line: string): ParsedSample {
  const [, name, labelText = "", value] = SAMPLE.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`no sample: ${line}`);
  const labels: Record<string, string> = {};
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < labelText.length) {
    const [, label, text] = LABEL.exec(labelText) ?? [];
    if (label === undefined || text === undefined) throw new Error(`bad labels: ${line}`);
    if (label in labels) throw new Error(`a label twice: ${line}`);
    labels[label] = text.replaceAll(/\\(.)/g, (_, letter: string) => (letter === "n" ? "\n" : letter));
  }
  return { name, labels, value: Number(value.replace("Inf", "Infinity")) };
}

function checkHistograms(samples: readonly ParsedSample[], types: ReadonlyMap<string, string>): void {
  const last = new Map<string, number>();
  const rest = ({ labels: { le: _, ...others } }: ParsedSample) => JSON.stringify(Object.entries(others).sort());
  for (const sample of samples) {
    const base = sample.name.replace(/_(bucket|count)$/, "");
    if (types.get(base) !== "histogram") continue;
    const key = `${base} ${rest(sample)}`;
    const before = last.get(key) ?? 0;
    if (sample.name.endsWith("_bucket") ? sample.value < before : sample.value !== before)
      throw new Error(`histogram ${key}: ${sample.value} after ${before}`);
    last.set(key, sample.value);
  }
}
