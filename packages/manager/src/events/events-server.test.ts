import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ANY, packAny, toTimestamp, ttrpcEvents } from "@trimaran/proto";
import { Client, connectUnix } from "ttrpc-ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { EventExchange, type ShimEvent } from "./event-exchange.ts";
import { EventsServer } from "./events-server.ts";

const envelope = {
  timestamp: toTimestamp(5n),
  namespace: "ns",
  topic: "/tasks/exit",
  event: packAny(ANY.taskExit, Buffer.alloc(0)),
};

async function forward(path: string, sent: object): Promise<void> {
  const client = new Client(await connectUnix(path));
  try {
    await client.service(ttrpcEvents).forward({ envelope: sent });
  } finally {
    client.close();
  }
}

test("a shim's event reaches the subscribers, a malformed one is refused", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "new", "t.sock.ttrpc");
  const exchange = new EventExchange();
  const seen: ShimEvent[] = [];
  using _subscription = exchange.subscribe((event) => seen.push(event));
  await using server = new EventsServer(path, exchange);
  await Promise.all([server.ensure(), server.ensure()]);
  await forward(path, envelope);
  assert.deepEqual(
    seen.map(({ topic, namespace, timestampNs }) => [topic, namespace, timestampNs]),
    [["/tasks/exit", "ns", 5n]],
  );
  const bad = [
    {},
    { topic: "x" },
    { topic: "/" },
    { topic: "/a//b" },
    { topic: "/a b" },
    { namespace: "" },
    { namespace: "a/b" },
  ];
  for (const field of bad) {
    await assert.rejects(forward(path, Object.keys(field).length === 0 ? {} : { ...envelope, ...field }), { code: 3 });
  }
});

test("one process serves; when it has gone the next takes over, and nothing stays behind", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "t.sock");
  const [first, second] = [new EventExchange(), new EventExchange()];
  const seen: string[] = [];
  first.subscribe(() => seen.push("first"));
  second.subscribe(() => seen.push("second"));
  const [a, b] = [new EventsServer(path, first), new EventsServer(path, second)];
  await a.ensure();
  await b.ensure();
  await forward(path, envelope);
  await a[Symbol.asyncDispose]();
  await b.ensure();
  await forward(path, envelope);
  await b[Symbol.asyncDispose]();
  assert.deepEqual(seen, ["first", "second"]);
  assert.equal(existsSync(path), false);
});
