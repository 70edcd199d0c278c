import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { parseSpans, type Span } from "@trimaran/manager/trace";
import { Trimaran } from "./testing/trimaran.ts";

const trimaran = new Trimaran();
after(() => trimaran[Symbol.dispose]());
const { rootfs } = trimaran;
const file = (name: string) => join(trimaran.directory, name);

/** Names from a span up to the whole. */
function pathOf(spans: readonly Span[], span: Span | undefined): string[] {
  return span === undefined
    ? []
    : [
        span.name,
        ...pathOf(
          spans,
          spans.find(({ spanId }) => spanId === span.parentId),
        ),
      ];
}

test("run --trace: from the command down to the groups of launch steps, in one trace and one time", async () => {
  const { code, stdout, stderr } = await trimaran.run(
    "--rm",
    "--trace",
    "--trace-json",
    file("t.json"),
    "--trace-svg",
    file("t.svg"),
    rootfs,
    "echo",
    "hi",
  );
  assert.deepEqual([code, stdout], [0, "hi\n"]);
  const { spans } = parseSpans(readFileSync(file("t.json"), "utf8"));
  const find = (name: string, process: string) => spans.find((each) => each.name === name && each.process === process);
  assert.deepEqual(pathOf(spans, find("mounts", "container")), [
    "mounts",
    "launch",
    "Create",
    "shim: create",
    "create",
    "create",
    `run ${rootfs}`,
  ]);
  assert.deepEqual(pathOf(spans, find("shim start", "task server")).slice(1, 2), ["bootstrap"]);
  assert.deepEqual(pathOf(spans, find("gate to execve", "task server")).slice(1, 4), ["Start", "shim: start", "start"]);
  assert.equal(new Set(spans.map(({ traceId }) => traceId)).size, 1);
  const byId = new Map(spans.map((each) => [each.spanId, each]));
  for (const span of spans) {
    const parent = byId.get(span.parentId ?? "");
    // clocks of four processes: a part lies within its whole, but for the command's whole, which ends with Start
    if (parent?.parentId !== undefined)
      assert.ok(span.startNs >= parent.startNs && span.endNs <= parent.endNs, `${span.name} in ${parent.name}`);
  }
  const groups = spans.filter(({ process }) => process === "container").map(({ name }) => name);
  for (const group of ["namespaces", "cgroup", "root filesystem", "mounts", "devices", "capabilities"])
    assert.ok(groups.includes(group), group);
  assert.match(stderr, /^ +[\d.]+ +[\d.]+ +[\d.]+ +mounts +container +█/m);
  assert.match(readFileSync(file("t.svg"), "utf8"), /^<svg .*<title>mounts \(container\)/s);
  const kept = readdirSync(tmpdir()).filter((name) => name.startsWith("trimaran-trace-"));
  assert.deepEqual(
    kept.filter((name) => stderr.includes(name)),
    [],
  );
});

test("exec --trace: another program, without a bootstrap; a failure is in it, and the exit code as ever", async () => {
  await trimaran.run("-d", "--name", "web", rootfs, "sleep", "1000");
  try {
    const { code, stderr } = await trimaran.call(
      "exec",
      "--trace",
      "--trace-json",
      file("e.json"),
      "web",
      "sh",
      "-c",
      "exit 7",
    );
    assert.equal(code, 7);
    assert.doesNotMatch(stderr, /bootstrap/);
    const { spans } = parseSpans(readFileSync(file("e.json"), "utf8"));
    assert.deepEqual(
      pathOf(
        spans,
        spans.find(({ name, process }) => name === "exec" && process === "container"),
      ).slice(1, 3),
      ["launch", "Start"],
    );
    const failed = await trimaran.call("exec", "--trace", "web", "/nope");
    assert.equal(failed.code, 127);
    assert.match(failed.stderr, /launch +task server +█.* failed: .*\/nope/);
  } finally {
    await trimaran.call("rm", "-f", "web");
  }
});

/** A collector of OTLP's JSON: names of spans by service. `answers` false: it takes everything and says nothing. */
async function openCollector(answers = true) {
  const traces = new Set<string>();
  const names = new Map<string, string[]>();
  const server = createServer((request, response) => {
    let body = "";
    request.setEncoding("utf8").on("data", (text: string) => {
      body += text;
    });
    request.on("end", () => {
      for (const { resource, scopeSpans } of JSON.parse(body).resourceSpans) {
        const service = resource.attributes.find(({ key }: { key: string }) => key === "service.name").value
          .stringValue;
        for (const { name, traceId } of scopeSpans[0].spans) {
          names.set(service, [...(names.get(service) ?? []), name]);
          traces.add(traceId);
        }
      }
      if (answers) response.end("{}");
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${port}`;
  process.env.OTEL_BSP_SCHEDULE_DELAY = "50";
  return {
    traces,
    names,
    [Symbol.dispose]: () => {
      delete process.env.OTEL_EXPORTER_OTLP_ENDPOINT;
      delete process.env.OTEL_BSP_SCHEDULE_DELAY;
      server.closeAllConnections();
      server.close();
    },
  };
}

test("OpenTelemetry: command, daemon and shim send to the collector of the environment, all of one run in one trace", async () => {
  using collector = await openCollector();
  await using _daemon = await trimaran.startDaemon();
  const told = await trimaran.run("--rm", "--trace-json", file("d.json"), rootfs, "true");
  assert.deepEqual([told.code, told.stderr], [0, ""]);
  const { spans } = parseSpans(readFileSync(file("d.json"), "utf8"));
  const create = spans.find(({ name, process }) => name === "Create" && process === "task server");
  assert.deepEqual(pathOf(spans, create).slice(1), [
    "shim: create",
    "create",
    "containerd.services.tasks.v1.Tasks/Create",
    "create",
    `run ${rootfs}`,
  ]);
  const expected = {
    "containerd-shim-trimaran-runc-v2": ["Create", "mounts", "Start", "Delete"],
    trimaran: [`run ${rootfs}`, "containerd.services.tasks.v1.Tasks/Create"],
  };
  const missing = () =>
    Object.entries(expected).flatMap(([service, names]) =>
      names.filter((name) => !collector.names.get(service)?.includes(name)),
    );
  for (let tries = 0; tries < 200 && missing().length > 0; tries++) await setTimeout(50);
  assert.deepEqual(missing(), []);
  assert.equal(collector.traces.size, 1);
});

test("a collector that hangs is nobody's problem", async () => {
  using collector = await openCollector(false);
  const { code, stdout } = await trimaran.run("--rm", rootfs, "echo", "done");
  assert.deepEqual([code, stdout], [0, "done\n"]);
  assert.ok((collector.names.get("trimaran") ?? []).length > 0);
});
