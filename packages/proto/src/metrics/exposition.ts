import type { Labels, MetricFamily, Sample } from "./family.ts";

/** The media type of `expositionText`. */
export const EXPOSITION_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/**
 * Prometheus' text of the families of any number of processes: one HELP and TYPE per name, however many have it. Two of one name
 * and different types are two processes of different versions: the first one's type wins, the other's samples are left out.
 * Source: Prometheus, "Exposition formats", text-based format.
 */
export function expositionText(families: readonly MetricFamily[]): string {
  const byName = new Map<string, MetricFamily[]>();
  for (const family of families) byName.set(family.name, [...(byName.get(family.name) ?? []), family]);
  return [...byName.values()].map(familyText).join("");
}

/** The same family with more labels on each sample. A sample's own win. */
export function withLabels(family: MetricFamily, labels: Labels): MetricFamily {
  return {
    ...family,
    samples: family.samples.map((sample) => ({ ...sample, labels: { ...labels, ...sample.labels } })),
  };
}

function familyText(families: readonly MetricFamily[]): string {
  const [first] = families;
  if (first === undefined) return "";
  const { name, help, type } = first;
  const samples = families.filter((family) => family.type === type).flatMap((family) => family.samples);
  const lines = samples.flatMap((sample) => sampleLines(name, sample));
  return [`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${type}`, ...lines, ""].join("\n");
}

function sampleLines(name: string, sample: Sample): string[] {
  const { labels } = sample;
  if ("value" in sample) return [`${name}${labelText(labels)} ${sample.value}`];
  let count = 0;
  const buckets = sample.counts.map((more, at) => {
    count += more;
    const bound = sample.bounds[at];
    return `${name}_bucket${labelText({ ...labels, le: bound === undefined ? "+Inf" : String(bound) })} ${count}`;
  });
  return [...buckets, `${name}_sum${labelText(labels)} ${sample.sum}`, `${name}_count${labelText(labels)} ${count}`];
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}
