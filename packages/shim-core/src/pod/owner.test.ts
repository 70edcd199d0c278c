import assert from "node:assert/strict";
import { test } from "node:test";
import { TestPod } from "../testing/test-pod.ts";

for (const [bundle, ends] of [
  ["/nonexistent/bundle", true],
  ["/proc", false],
] as const) {
  test(`without a connection, and ${ends ? "without" : "with"} its bundle, a pod ${ends ? "ends" : "stays"}`, async (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    const pod = new TestPod(bundle);
    await pod.task.create({ id: "web", bundle });
    await pod.task.start({ id: "web" });
    pod.client.close();
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    t.mock.timers.tick(29_000);
    for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate);
    assert.equal(pod.monitor.hasExited, false);
    t.mock.timers.tick(2000);
    for (let turn = 0; turn < 50; turn++) {
      await new Promise(setImmediate);
      t.mock.timers.tick(100); // of what the end waits for
    }
    assert.equal(pod.monitor.hasExited, ends);
  });
}
