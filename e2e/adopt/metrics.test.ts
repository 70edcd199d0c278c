import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { finished, Trimaran } from "../../packages/cli/src/testing/trimaran.ts";
import { type ParsedSample, parseExposition } from "../../packages/proto/src/testing/parse-exposition.ts";

const RUNTIME = "io.containerd.trimaran-runc.v2";
/** Of the task servers of this test alone. */
const state = mkdtempSync(join(tmpdir(), "trimaran-metrics-"));
process.env.TRIMARAN_STATE = state;
after(async () => {
  for (const pid of await serverPids()) process.kill(pid);
  rmSync(state, { recursive: true, force: true });
});

async function serverPids(): Promise<number[]> {
  const paths = (await readdir(state, { recursive: true })).filter((path) => path.endsWith("server.pid"));
  return paths.map((path) => Number(readFileSync(join(state, path), "utf8").split(" ")[0])).filter(isAlive);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function getOverSocket(socketPath: string): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ socketPath, path: "/metrics" }, (response) => void text(response).then(resolve, reject)).on("error", reject);
  });
}

function sum(samples: readonly ParsedSample[], name: string, labels: Readonly<Record<string, string>> = {}): number {
  return samples
    .filter((sample) => sample.name === `trimaran_${name}`)
    .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
    .reduce((total, { value }) => total + value, 0);
}

test("starts, failures, latencies, tasks and the restart of a task server, as Prometheus reads them", async () => {
  using trimaran = new Trimaran();
  const socket = join(trimaran.directory, "metrics.http");
  await using _daemon = await trimaran.startDaemon("--metrics", socket);
  const look = async () => {
    const { code, stdout, stderr } = await finished(trimaran.startMetrics());
    assert.equal(code, 0, stderr);
    return parseExposition(stdout);
  };
  const run = (...words: string[]) => trimaran.call("run", "--runtime", RUNTIME, ...words);
  assert.equal((await run("-d", "--name", "web", trimaran.rootfs, "sleep", "1000")).code, 0);
  assert.equal((await trimaran.call("exec", "web", "true")).code, 0);
  assert.equal((await trimaran.call("exec", "web", "/nope")).code, 127);
  const before = await look();
  assert.equal(sum(before, "starts_total", { kind: "container", runtime: RUNTIME }), 1);
  assert.equal(sum(before, "starts_total", { kind: "exec" }), 1);
  assert.equal(sum(before, "request_failures_total", { method: "start_exec" }), 1, "a failed exec");
  assert.equal(sum(before, "request_duration_seconds_count", { method: "create" }), 1);
  assert.ok(sum(before, "request_duration_seconds_sum", { method: "create" }) < 10);
  assert.equal(sum(before, "tasks", { state: "running" }), 1);
  assert.equal(sum(before, "monitors"), 1);
  assert.equal(sum(before, "task_server_restarts_total"), 0);
  assert.equal(sum(before, "daemon_tasks"), 1);
  assert.ok(
    sum(before, "daemon_request_duration_seconds_count", { service: "containerd.services.tasks.v1.Tasks" }) > 0,
  );

  const names = (samples: readonly ParsedSample[]) => new Set(samples.map(({ name }) => name));
  assert.deepEqual(
    names(parseExposition(await getOverSocket(socket))),
    names(before),
    "the daemon has the same endpoint",
  );

  const [pid] = await serverPids();
  assert.ok(pid !== undefined);
  process.kill(pid, "SIGKILL");
  assert.equal((await trimaran.call("exec", "web", "true")).code, 0); // wakes another one
  const restarted = await look();
  // A machine that is busy enough may have one replaced that only was slow: more than one, then, but all of them told.
  const restarts = sum(restarted, "task_server_restarts_total");
  assert.ok(restarts >= 1, `${restarts}`);
  assert.equal(sum(restarted, "task_server_starts_total"), restarts + 1);
  assert.equal(sum(restarted, "tasks", { state: "running" }), 1);
  const execs = sum(restarted, "starts_total", { kind: "exec" });
  assert.ok(execs <= 1, `${execs}: a killed one has forgotten the first`);

  const series = new Set(restarted.map(({ name, labels }) => `${name} ${Object.keys(labels).sort()}`));
  assert.ok(
    [...series].every((each) => !/\b(id|pid|container)\b/.test(each)),
    "no label names a container",
  );

  assert.equal((await trimaran.call("rm", "-f", "web")).code, 0);
  for (let left = 100; (await serverPids()).length > 0 && left > 0; left--) await delay(200);
  const asleep = await look();
  assert.equal(sum(asleep, "up", { runtime: RUNTIME }), 0, "without pods it sleeps");
  assert.equal(sum(asleep, "starts_total", { kind: "exec" }), execs, "and hands on what it has counted");
});

test("one endpoint per node, on a port of this machine or a socket", async () => {
  using trimaran = new Trimaran();
  const child = trimaran.startMetrics("--listen", "127.0.0.1:0");
  const [line] = (await once(child.stdout ?? child, "data")) as [Buffer];
  const url = line.toString().trim();
  const answer = await fetch(url);
  assert.equal(answer.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assert.ok(parseExposition(await answer.text()).some(({ name }) => name === "trimaran_task_server_starts_total"));
  assert.equal((await fetch(url.replace("/metrics", "/"))).status, 404);
  child.kill("SIGTERM");
  assert.equal((await finished(child)).code, 0);
  const open = await finished(trimaran.startMetrics("--listen", "0.0.0.0:9464"));
  assert.match(open.stderr, /not a loopback address/);
  assert.notEqual(open.code, 0);
});
