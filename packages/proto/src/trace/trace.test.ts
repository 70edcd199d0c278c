import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { monotonicNs, unixOffsetNs } from "./clock.ts";
import { formatTraceparent, newSpanId, newTraceId, parseTraceparent } from "./context.ts";
import { OtlpExporter } from "./exporter.ts";
import { type OtlpSettings, parseOtlpSettings } from "./otlp-settings.ts";
import { inSpan, isTraced, SpanRecorder, spanAdder, traceMetadata } from "./recorder.ts";
import { encodeSpans, parseSpans, type Span } from "./span.ts";

const ROOT = "00f067aa0ba902b7";
const newRecorder = (directory?: string) =>
  new SpanRecorder({ traceId: newTraceId(), process: "task server", directory });

function span(name: string): Span {
  return { traceId: newTraceId(), spanId: newSpanId(), name, process: "p", startNs: 1n, endNs: 2n };
}

test("traceparent: what the specification has, and nothing else", () => {
  const text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  const context = parseTraceparent(text);
  assert.deepEqual(context, { traceId: "4bf92f3577b34da6a3ce929d0e0e4736", spanId: ROOT, sampled: true });
  assert.equal(context && formatTraceparent(context), text);
  assert.equal(parseTraceparent(text.replace(/01$/, "00"))?.sampled, false);
  for (const bad of [
    undefined,
    "",
    "x",
    text.replace(/^00/, "ff"),
    text.replace(ROOT, "0".repeat(16)),
    text.toUpperCase(),
    ` ${text}`,
  ])
    assert.equal(parseTraceparent(bad), undefined);
});

test("spans nest by who calls whom, also across awaits and side by side; a failure is noted and goes on", async () => {
  const recorder = newRecorder();
  await recorder.run(ROOT, () =>
    inSpan("outer", async () => {
      await Promise.all(
        ["a", "b"].map((name) => inSpan(name, async () => await inSpan(`${name} inner`, () => Promise.resolve()))),
      );
      assert.throws(
        () =>
          inSpan("bad", () => {
            throw new Error("why");
          }),
        /why/,
      );
      await assert.rejects(
        inSpan("late", async () => {
          throw new Error("later");
        }),
        /later/,
      );
    }),
  );
  const by = new Map(recorder.spans.map((each) => [each.name, each]));
  const parent = (name: string) => recorder.spans.find(({ spanId }) => spanId === by.get(name)?.parentId)?.name;
  assert.deepEqual(["a", "b", "a inner", "b inner", "bad"].map(parent), ["outer", "outer", "a", "b", "outer"]);
  assert.equal(by.get("outer")?.parentId, ROOT);
  assert.deepEqual([by.get("bad")?.error, by.get("late")?.error, by.get("a")?.error], ["why", "later", undefined]);
  for (const { startNs, endNs } of recorder.spans) assert.ok(startNs <= endNs);
});

test("without a trace the work is done, and nothing else", () => {
  const result = {};
  assert.equal(
    inSpan("x", () => result),
    result,
  );
  assert.deepEqual([isTraced(), spanAdder(), traceMetadata()], [false, undefined, {}]);
});

test("a call carries the trace: parent, and where the spans are collected", () => {
  const recorder = newRecorder("/tmp/t");
  const metadata = recorder.run(ROOT, traceMetadata);
  assert.equal(parseTraceparent(metadata.traceparent)?.spanId, ROOT);
  assert.equal(metadata["trimaran-trace"], "/tmp/t");
});

test("files: written whole once, read back the same; a directory that is not there harms nobody", () => {
  const directory = mkdtempSync(join(tmpdir(), "spans-"));
  try {
    const recorder = newRecorder(directory);
    recorder.run(ROOT, () =>
      inSpan("x", () => spanAdder()?.({ name: "y", process: "container", startNs: 5n, endNs: 2n ** 60n })),
    );
    recorder.write();
    const [file = ""] = readdirSync(directory);
    assert.match(file, /^task-server-[0-9a-f]{16}\.json$/);
    const { spans } = parseSpans(readFileSync(join(directory, file), "utf8"));
    assert.deepEqual(spans, recorder.spans);
    assert.deepEqual(spans.map(({ process }) => process).sort(), ["container", "task server"]);
  } finally {
    rmSync(directory, { recursive: true });
  }
  const lost = newRecorder("/nonexistent/trace");
  lost.run(ROOT, () => inSpan("x", () => {}));
  lost.write();
  for (const bad of ["null", "{}", '{"unixOffsetNs":1,"spans":[]}', '{"unixOffsetNs":"1","spans":[{}]}'])
    assert.throws(() => parseSpans(bad), SyntaxError);
});

test("unix time: within two milliseconds of the clock", () => {
  const off = BigInt(Date.now()) * 1_000_000n - (monotonicNs() + unixOffsetNs());
  assert.ok(off > -2_000_000n && off < 2_000_000n, String(off));
});

test("settings: off unless an endpoint is named, and by every switch that there is", () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:4318/" };
  assert.equal(parseOtlpSettings({}, "s"), undefined);
  assert.equal(parseOtlpSettings(endpoint, "s")?.endpoint, "http://127.0.0.1:4318/v1/traces");
  const own = { ...endpoint, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://h:1/x" };
  assert.equal(parseOtlpSettings(own, "s")?.endpoint, "http://h:1/x");
  for (const off of [
    { OTEL_SDK_DISABLED: "True" },
    { OTEL_TRACES_EXPORTER: "none" },
    { OTEL_TRACES_SAMPLER: "always_off" },
    { OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
    { OTEL_EXPORTER_OTLP_ENDPOINT: "not an address" },
  ])
    assert.equal(parseOtlpSettings({ ...endpoint, ...off }, "s"), undefined, JSON.stringify(off));
  const all = parseOtlpSettings(
    {
      ...endpoint,
      OTEL_SERVICE_NAME: "mine",
      OTEL_RESOURCE_ATTRIBUTES: "service.name=theirs,host.name=a%20b, bad",
      OTEL_EXPORTER_OTLP_HEADERS: "authorization=Bearer%20x",
      OTEL_EXPORTER_OTLP_TIMEOUT: "nonsense",
      OTEL_BSP_MAX_QUEUE_SIZE: "3",
    },
    "s",
  );
  assert.deepEqual(all?.resource, { "service.name": "mine", "host.name": "a b" });
  assert.deepEqual([all?.headers, all?.timeoutMs, all?.queueLimit], [{ authorization: "Bearer x" }, 10_000, 3]);
});

function settingsFor(endpoint: string, more: Partial<OtlpSettings> = {}): OtlpSettings {
  const settings = parseOtlpSettings({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: endpoint }, "trimaran");
  assert.ok(settings !== undefined);
  return { ...settings, ...more };
}

test("a collector gets OTLP's JSON, in batches", async () => {
  const bodies: unknown[] = [];
  const server = createServer((request, response) => {
    assert.deepEqual(
      [request.method, request.url, request.headers["content-type"]],
      ["POST", "/v1/traces", "application/json"],
    );
    request
      .setEncoding("utf8")
      .on("data", (text: string) => bodies.push(JSON.parse(text)))
      .on("end", () => response.end("{}"));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const exporter = new OtlpExporter(settingsFor(`http://127.0.0.1:${port}/v1/traces`, { batchLimit: 2 }), "1.0.0");
  const bad = { ...span("c"), parentId: ROOT, error: "why", attributes: { cpu_ns: 7, ratio: 0.5, ok: true } };
  exporter.add([span("a"), span("b"), bad]);
  await exporter.flush(5000);
  server.close();
  server.closeAllConnections();
  const sent = bodies.flatMap(
    (body) =>
      (body as { resourceSpans: { scopeSpans: { spans: Record<string, unknown>[] }[] }[] }).resourceSpans[0]
        ?.scopeSpans[0]?.spans ?? [],
  );
  assert.deepEqual([bodies.length, sent.map(({ name }) => name), exporter.dropped], [2, ["a", "b", "c"], 0]);
  const { parentSpanId, status, attributes, startTimeUnixNano } = sent[2] ?? {};
  assert.deepEqual([parentSpanId, status], [ROOT, { code: 2, message: "why" }]);
  assert.deepEqual(attributes, [
    { key: "cpu_ns", value: { intValue: "7" } },
    { key: "ratio", value: { doubleValue: 0.5 } },
    { key: "ok", value: { boolValue: true } },
    { key: "trimaran.process", value: { stringValue: "p" } },
  ]);
  assert.match(String(startTimeUnixNano), /^[0-9]{19}$/);
});

test("a collector that is gone or hangs delays nobody; the queue is bounded, and what is lost is counted", async () => {
  const gone = new OtlpExporter(settingsFor("http://127.0.0.1:1/"), "1");
  gone.add([span("a")]);
  await gone.flush(5000);
  assert.equal(gone.dropped, 1);
  const hanging = new OtlpExporter(
    settingsFor("http://127.0.0.1:1/", { queueLimit: 3, batchLimit: 2 }),
    "1",
    () => new Promise(() => {}),
  );
  const begun = performance.now();
  for (let i = 0; i < 10; i++) hanging.add([span("a"), span("b")]);
  await hanging.flush(50);
  assert.ok(performance.now() - begun < 2000);
  assert.equal(hanging.dropped, 20 - 2 - 3); // one batch is on its way, three wait
});

test("what comes while a batch is on its way leaves with the next, and so does what comes after that", async () => {
  const sent: string[] = [];
  const took = Promise.withResolvers<void>();
  const slow = async (_settings: OtlpSettings, body: string) => {
    await new Promise((resolve) => setTimeout(resolve, 60));
    sent.push(...[...body.matchAll(/"name":"(a|b|c)"/g)].map(([, name = ""]) => name));
    if (sent.includes("c")) took.resolve();
    return 200;
  };
  const exporter = new OtlpExporter(settingsFor("http://127.0.0.1:1/", { delayMs: 10 }), "1", slow);
  exporter.add([span("a")]);
  await new Promise((resolve) => setTimeout(resolve, 30)); // the first one is on its way
  exporter.add([span("b")]);
  await new Promise((resolve) => setTimeout(resolve, 300));
  exporter.add([span("c")]);
  const limit = setTimeout(() => took.reject(new Error(`only ${sent} were sent`)), 3000);
  await took.promise;
  clearTimeout(limit);
  assert.deepEqual(sent, ["a", "b", "c"]);
});

test("encodeSpans is what parseSpans takes", () => {
  const document = { unixOffsetNs: -5n, spans: [span("a")] };
  assert.deepEqual(parseSpans(encodeSpans(document)), document);
});
