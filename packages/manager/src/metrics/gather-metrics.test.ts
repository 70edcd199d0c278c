import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { expositionText, METRICS_FILE, METRICS_SOCKET, type MetricsReport } from "@trimaran/proto";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { gatherMetrics } from "./gather-metrics.ts";

const report = (runtime: string, value: number): MetricsReport => ({
  labels: { runtime },
  families: [{ name: "starts_total", help: "Starts.", type: "counter", samples: [{ labels: {}, value }] }],
});

test("one endpoint tells of those that answer, sleep, hang, and lie", async () => {
  using directory = temporaryDirectory();
  const place = (name: string) => {
    mkdirSync(join(directory.path, name));
    return join(directory.path, name);
  };
  const listening = (name: string, text: string | undefined) => {
    const server = createServer((socket) => (text === undefined ? undefined : socket.end(text)));
    server.listen(join(place(name), METRICS_SOCKET));
    return { [Symbol.dispose]: () => void server.close().unref() };
  };
  using _live = listening("live", JSON.stringify(report("live", 3)));
  using _hanging = listening("hanging", undefined);
  writeFileSync(join(directory.path, "hanging", METRICS_FILE), JSON.stringify(report("hanging", 1)));
  writeFileSync(join(place("asleep"), METRICS_FILE), JSON.stringify(report("asleep", 2)));
  using _lying = listening("lying", '{"labels":{"a\\"b":"c"},"families":[]}');
  place("empty");
  writeFileSync(join(directory.path, "file"), "");
  const startedAt = performance.now();
  const text = expositionText(
    await gatherMetrics([directory.path, join(directory.path, "absent")], [join(directory.path, "live")]),
  );
  assert.ok(performance.now() - startedAt < 8000);
  const lines = text.split("\n").filter((line) => !line.startsWith("#"));
  assert.deepEqual(lines.sort(), [
    "",
    'starts_total{runtime="asleep"} 2',
    'starts_total{runtime="hanging"} 1',
    'starts_total{runtime="live"} 3',
    'trimaran_up{runtime="asleep"} 0',
    'trimaran_up{runtime="hanging"} 0',
    'trimaran_up{runtime="live"} 1',
  ]);
});
