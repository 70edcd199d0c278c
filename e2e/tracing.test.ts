import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { matrix, TRIMARAN } from "./harness/matrix.ts";

interface OtlpSpan {
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
}

/** A collector: spans that came as JSON, which are ours, and whatever else came, which is containerd's protobuf. */
const ours: OtlpSpan[] = [];
const theirs: Buffer[] = [];
const collector = createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  const type = request.headers["content-type"] ?? "";
  if (type === "application/json") ours.push(...JSON.parse(body.toString()).resourceSpans[0].scopeSpans[0].spans);
  else theirs.push(body);
  response.setHeader("content-type", type);
  response.end(type === "application/json" ? "{}" : "");
});
await once(collector.listen(0, "127.0.0.1"), "listening");
after(() => {
  collector.closeAllConnections();
  collector.close();
});
const { port } = collector.address() as AddressInfo;

const env = {
  OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${port}`,
  OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf",
  OTEL_BSP_SCHEDULE_DELAY: "100",
};

matrix(
  "tracing",
  (scenario) => {
    scenario("a trace of containerd's goes on in the shim, down to the launch steps", async (box) => {
      assert.equal((await box.run({}, "true")).code, 0);
      const find = (name: string) => ours.find((span) => span.name === name);
      const arrived = (id: string | undefined) =>
        id !== undefined && Buffer.concat(theirs).includes(Buffer.from(id, "hex"));
      const names = ["Create", "Start", "Delete"];
      const isTold = () => names.every((name) => arrived(find(name)?.parentSpanId));
      for (let tries = 0; tries < 200 && !isTold(); tries++) await delay(50);
      for (const name of names) {
        assert.ok(arrived(find(name)?.parentSpanId), `${name}'s parent is none of containerd's`);
        assert.ok(arrived(find(name)?.traceId), `${name}'s trace is none of containerd's`);
      }
      const launch = ours.find(({ spanId }) => spanId === find("mounts")?.parentSpanId);
      assert.deepEqual([launch?.name, launch?.parentSpanId], ["launch", find("Create")?.spanId]);
    });
  },
  { engines: ["2.x"], runtimes: [TRIMARAN], engine: { tracing: true, env } },
);
