import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import type { ManagerClient } from "@trimaran/manager";
import { ANY, containerd, io, toTimestamp } from "@trimaran/proto";
import { serveUi } from "../../packages/cli/src/ui/serve-ui.ts";
import { Browser } from "../harness/browser.ts";

const ROOT = join(import.meta.dirname, "../..");
const COUNT = 300;
/** What may hold up the page's thread when 300 rows change: a frame or two on a slow machine. */
const UPDATE_LIMIT_MS = 100;

/** A manager that has any number of containers, with names that a real one would refuse. */
function fakeClient(count: number, hostile: string): ManagerClient {
  let looks = 0;
  const ids = Array.from({ length: count }, (_, at) => `${hostile} ${at}`);
  const spec = { typeUrl: "spec", value: Buffer.from(JSON.stringify({ process: { args: ["sh", "-c", hostile] } })) };
  const { Metrics } = io.containerd.cgroups.v2;
  const metricsOf = (at: number) => {
    const usage = { cpu: { usageUsec: looks * at * 100 }, memory: { usage: at << 20 }, pids: { current: at } };
    return { typeUrl: ANY.cgroupV2Metrics, value: Metrics.encode(usage) };
  };
  const services = {
    containers: {
      list: async () => ({
        containers: ids.map((id) => ({
          ...{ id, image: hostile, labels: {}, runtime: { name: hostile }, spec, snapshotter: "", snapshotKey: "" },
          createdAt: toTimestamp(1n),
        })),
      }),
    },
    tasks: {
      list: async () => ({
        tasks: ids.map((id, at) => ({ id, pid: at + 1, status: containerd.v1.types.Status.RUNNING, exitStatus: 0 })),
      }),
      metrics: async () => {
        looks++;
        const timestamp = toTimestamp(BigInt(Date.now()) * 1_000_000n);
        return { metrics: ids.map((id, at) => ({ id, timestamp, data: metricsOf(at) })) };
      },
    },
  };
  const client = { namespace: hostile, address: hostile, services, [Symbol.asyncDispose]: async () => {} };
  return client as unknown as ManagerClient;
}

test(`${COUNT} containers with hostile names: each is a row of text, and an update is quick`, async () => {
  const hostile = `</td><script>window.pwned=1</script><img src=x onerror=window.pwned=1>"'`;
  const client = fakeClient(COUNT, hostile);
  await using server = await serveUi({
    address: { host: "127.0.0.1", port: 0 },
    token: "t".repeat(32),
    pageDirectory: join(ROOT, "build/lib/trimaran/ui"),
    taskServers: "/nonexistent",
    openClient: async () => client,
  });
  await using browser = await Browser.open();
  await browser.go(`${server.url}/#token=${"t".repeat(32)}`);
  await browser.until(`document.querySelectorAll("tbody tr").length === ${COUNT}`);
  await browser.evaluate(`new PerformanceObserver((list) => {
    window.longest = Math.max(window.longest ?? 0, ...list.getEntries().map(({ duration }) => duration));
  }).observe({ type: "longtask" })`);
  await browser.evaluate("void (document.querySelector('tbody tr').marked = true)");
  await browser.until("[...document.querySelectorAll('tbody tr')].every((row) => /\\d %/.test(row.innerText))");
  assert.ok((await browser.evaluate<number>("window.longest ?? 0")) < UPDATE_LIMIT_MS);
  assert.ok(await browser.evaluate("document.querySelector('tbody tr').marked"), "rows stay what they are");
  const names = await browser.evaluate<string[]>(
    "[...document.querySelectorAll('tbody th')].map((cell) => cell.textContent)",
  );
  assert.deepEqual(
    names,
    Array.from({ length: COUNT }, (_, at) => `${hostile} ${at}`),
  );
  assert.equal(await browser.evaluate("typeof window.pwned"), "undefined");
  assert.equal(await browser.evaluate("document.querySelectorAll('img, td script').length"), 0);
  assert.deepEqual(browser.complaints, []);
  await browser.picture("many");
});
