import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseExposition } from "../testing/parse-exposition.ts";
import { expositionText, withLabels } from "./exposition.ts";
import { parseFamilies } from "./family.ts";
import { MetricRegistry } from "./registry.ts";

test("counters, gauges and histograms in Prometheus' words", () => {
  const registry = new MetricRegistry();
  registry.counter("starts_total", "Containers that were started.").add({ kind: "exec" }, 2);
  registry.gauge("monitors", "Now.", () => [{ labels: {}, value: 3 }]);
  const durations = registry.histogram("duration_seconds", "How long.");
  for (const seconds of [0.0009, 0.001, 0.2, 60]) durations.observe({ method: "create" }, seconds);
  const text = expositionText(registry.families().map((family) => withLabels(family, { runtime: "r" })));
  assert.match(text, /^# HELP starts_total Containers that were started\.\n# TYPE starts_total counter\n/);
  assert.ok(text.includes('starts_total{runtime="r",kind="exec"} 2\n'));
  assert.ok(text.includes('monitors{runtime="r"} 3\n'));
  assert.ok(text.includes('duration_seconds_bucket{runtime="r",method="create",le="0.001"} 2\n'));
  assert.ok(text.includes('duration_seconds_bucket{runtime="r",method="create",le="+Inf"} 4\n'));
  assert.ok(text.includes('duration_seconds_count{runtime="r",method="create"} 4\n'));
  assert.equal(parseExposition(text).length, 1 + 1 + 14 + 2);
});

test("one HELP and TYPE for the families of many processes; a type that differs is left out", () => {
  const sample = (value: number) => ({ labels: { pid: String(value) }, value });
  const text = expositionText([
    { name: "a", help: "A.", type: "counter", samples: [sample(1)] },
    { name: "b", help: "B.", type: "gauge", samples: [sample(2)] },
    { name: "a", help: "Another help.", type: "counter", samples: [sample(3)] },
    { name: "a", help: "A.", type: "gauge", samples: [sample(4)] },
  ]);
  assert.equal(
    text,
    '# HELP a A.\n# TYPE a counter\na{pid="1"} 1\na{pid="3"} 3\n# HELP b B.\n# TYPE b gauge\nb{pid="2"} 2\n',
  );
});

test("any text is a label's value, and comes back from a parser", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string(), (value, help) => {
      const text = expositionText([{ name: "a", help, type: "gauge", samples: [{ labels: { v: value }, value: 1 }] }]);
      const [sample] = parseExposition(text);
      assert.equal(sample?.labels.v, value);
    }),
  );
});

test("what one process has counted goes on in the next one", () => {
  const make = () => {
    const registry = new MetricRegistry();
    return {
      registry,
      starts: registry.counter("starts_total", ""),
      durations: registry.histogram("duration_seconds", ""),
    };
  };
  const first = make();
  first.starts.add({}, 5);
  first.durations.observe({ method: "create" }, 0.3);
  const second = make();
  second.registry.restore(parseFamilies(JSON.parse(JSON.stringify(first.registry.families()))));
  second.starts.add();
  second.durations.observe({ method: "create" }, 0.3);
  assert.deepEqual(second.starts.samples(), [{ labels: {}, value: 6 }]);
  const [sample] = second.durations.samples();
  assert.ok(sample !== undefined && "sum" in sample);
  assert.equal(sample.sum, 0.6);
  assert.equal(
    sample.counts.reduce((a, b) => a + b),
    2,
  );
});

test("what is not made of families is refused", () => {
  const family = { name: "a", help: "", type: "gauge", samples: [{ labels: {}, value: 1 }] };
  assert.deepEqual(parseFamilies([family]), [family]);
  const bad = [
    {},
    [null],
    [{ ...family, name: "a b" }],
    [{ ...family, type: "summary" }],
    [{ ...family, samples: [{ labels: {}, value: "1" }] }],
    [{ ...family, samples: [{ labels: { le: "1" }, value: 1 }] }],
    [{ ...family, samples: [{ labels: { 'a"': "1" }, value: 1 }] }],
    [{ ...family, type: "histogram" }],
    [{ ...family, type: "histogram", samples: [{ labels: {}, bounds: [1], counts: [1], sum: 1 }] }],
  ];
  for (const value of bad) assert.throws(() => parseFamilies(value), TypeError, JSON.stringify(value));
});
