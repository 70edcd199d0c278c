import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { OtlpExporter, parseOtlpSettings, parseSpans, type Span } from "@trimaran/proto";
import { TestPod } from "../testing/test-pod.ts";

const TRACE = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT = "00f067aa0ba902b7";
const directory = mkdtempSync(join(tmpdir(), "spans-"));
after(() => rmSync(directory, { recursive: true }));

function written(): Span[] {
  return readdirSync(directory).flatMap((file) => parseSpans(readFileSync(join(directory, file), "utf8")).spans);
}

test("a call with a trace of containerd's is a part of it, and its spans are there before the answer", async () => {
  const pod = new TestPod();
  const metadata = { traceparent: `00-${TRACE}-${PARENT}-01`, "trimaran-trace": directory };
  await pod.task.create({ id: "web", bundle: "/nonexistent/bundle" }, { metadata });
  const [create] = written();
  assert.deepEqual([create?.name, create?.traceId, create?.parentId], ["Create", TRACE, PARENT]);
  assert.deepEqual(create?.attributes, { "container.id": "web" });
  await assert.rejects(pod.task.start({ id: "none" }, { metadata }));
  assert.match(written().find(({ name }) => name === "Start")?.error ?? "", /not found/);
  await pod.task.start({ id: "web" }, { metadata });
  const start = written().find(({ name, error }) => name === "Start" && error === undefined);
  assert.equal(written().find(({ name }) => name === "gate to execve")?.parentId, start?.spanId);
});

test("without a trace nothing is written; a directory without one, or no absolute one, is not enough", async () => {
  const before = written().length;
  const pod = new TestPod();
  await pod.task.create({ id: "web", bundle: "/b" });
  await pod.task.state({ id: "web" }, { metadata: { "trimaran-trace": directory } });
  await pod.task.state({ id: "web" }, { metadata: { traceparent: "nonsense", "trimaran-trace": directory } });
  await pod.task.state(
    { id: "web" },
    { metadata: { traceparent: `00-${TRACE}-${PARENT}-01`, "trimaran-trace": "here" } },
  );
  assert.equal(written().length, before);
});

test("a collector: traces of the caller's if they are sampled, and our own of what changes something", async () => {
  const sent: string[] = [];
  const settings = parseOtlpSettings({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" }, "s");
  assert.ok(settings !== undefined);
  const exporter = new OtlpExporter(settings, "1", async (_settings, body) => {
    sent.push(body);
    return 200;
  });
  const pod = new TestPod();
  pod.exporter = exporter;
  pod.restart();
  await pod.run();
  await pod.task.state({ id: "web" });
  const unsampled = { traceparent: `00-${TRACE}-${PARENT}-00` };
  await pod.task.pause({ id: "web" }, { metadata: unsampled });
  await pod.task.resume({ id: "web" }, { metadata: { traceparent: `00-${TRACE}-${PARENT}-01` } });
  await exporter.flush(5000);
  const names = [...sent.join("").matchAll(/"name":"(\w+)"/g)].map(([, name]) => name);
  assert.deepEqual(
    names.filter((name) => ["Create", "Start", "State", "Pause", "Resume"].includes(name ?? "")),
    ["Create", "Start", "Resume"],
  );
  assert.equal(exporter.dropped, 0);
});
