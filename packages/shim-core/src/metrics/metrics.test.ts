import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { METRICS_FILE, METRICS_SOCKET, parseMetricsReport } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";
import { measuredService } from "./measured-service.ts";
import { MetricsFile } from "./metrics-file.ts";
import { serveMetrics } from "./serve-metrics.ts";
import { TaskMetrics } from "./task-metrics.ts";

const directory = mkdtempSync(join(tmpdir(), "trimaran-metrics-"));
after(() => rmSync(directory, { recursive: true, force: true }));

/** `NAME labels` to its value. */
function values(metrics: TaskMetrics): Record<string, number> {
  const found = metrics.registry.families().flatMap(({ name, samples }) =>
    samples.map((sample): [string, number] => {
      const count = "value" in sample ? sample.value : sample.counts.reduce((a, b) => a + b);
      return [[name.replace("trimaran_", ""), ...Object.values(sample.labels)].join(" "), count];
    }),
  );
  return Object.fromEntries(found);
}

test("starts are counted, failures by reason, latencies by method; answers stay as they are", async () => {
  const metrics = new TaskMetrics();
  const service = {
    create: () => Promise.resolve("created"),
    start: () => "at once",
    delete: () => Promise.reject(new StatusError(Code.NotFound, "gone")),
    closeIO: () => {
      throw new TypeError("a bug of ours");
    },
  };
  const measured = measuredService(service as never, metrics) as unknown as Record<
    keyof typeof service,
    (request: object) => unknown
  >;
  assert.equal(await measured.create({}), "created");
  assert.equal(measured.start({ execId: "" }), "at once");
  measured.start({ execId: "one" });
  await assert.rejects(measured.delete({ execId: "one" }) as Promise<unknown>, { code: Code.NotFound });
  assert.throws(() => measured.closeIO({}), TypeError);
  assert.deepEqual(values(metrics), {
    "starts_total container": 1,
    "starts_total exec": 1,
    "request_failures_total delete_exec not_found": 1,
    "request_failures_total close_io internal": 1,
    "request_duration_seconds create": 1,
    "request_duration_seconds start": 1,
    "request_duration_seconds start_exec": 1,
  });
});

test("one that ends by itself hands on all it has counted; one that is killed, its starts alone", () => {
  const open = () => {
    const metrics = new TaskMetrics();
    metrics.registry.gauge("trimaran_monitors", "", () => [{ labels: {}, value: 7 }]);
    const file = new MetricsFile(directory, { runtime: "r" }, metrics);
    metrics.serverStarted();
    file.keepStarts();
    return { metrics, file };
  };
  const first = open();
  first.metrics.answered("create", 0.1);
  first.metrics.failed("create", "internal" as never);
  first.file.keepAll();
  const asleep = parseMetricsReport(readFileSync(join(directory, METRICS_FILE), "utf8"));
  assert.ok(
    asleep.families.some(({ name }) => name === "trimaran_monitors"),
    "its pods are still there",
  );
  const second = open();
  assert.deepEqual([first.file.followsSleep, second.file.followsSleep], [false, true]);
  assert.deepEqual(values(second.metrics), {
    "request_failures_total create internal": 1,
    "request_duration_seconds create": 1,
    task_server_starts_total: 2,
    monitors: 7,
  });
  second.metrics.answered("create", 0.1); // and it is killed
  const third = open();
  assert.equal(third.file.followsSleep, false, "it was killed");
  assert.deepEqual(values(third.metrics), { task_server_starts_total: 3, monitors: 7 });
  writeFileSync(join(directory, METRICS_FILE), '{"labels":{},"families":[{"name":"');
  assert.deepEqual(values(open().metrics), { task_server_starts_total: 1, monitors: 7 });
  assert.deepEqual(parseMetricsReport(readFileSync(join(directory, METRICS_FILE), "utf8")).labels, { runtime: "r" });
});

test("the socket tells everybody who connects", async () => {
  const metrics = new TaskMetrics();
  const file = new MetricsFile(directory, { runtime: "r" }, metrics);
  using _serving = serveMetrics(directory, () => file.report());
  metrics.answered("start", 0.1);
  for (const _ of [1, 2]) {
    const report = parseMetricsReport(await text(connect(join(directory, METRICS_SOCKET))));
    assert.deepEqual(report.labels, { runtime: "r" });
    const starts = report.families.find(({ name }) => name === "trimaran_starts_total");
    assert.deepEqual(starts?.samples, [{ labels: { kind: "container" }, value: 1 }]);
  }
});
