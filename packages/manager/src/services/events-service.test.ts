import assert from "node:assert/strict";
import { test } from "node:test";
import { ANY, containerd, type google } from "@trimaran/proto";
import { Code } from "../errors/manager-error.ts";
import { openTestRecords, testContainer } from "../testing/test-records.ts";

const { TaskExit } = containerd.events;
const exit = (containerId: string): google.protobuf.Any => ({
  typeUrl: ANY.taskExit,
  value: Buffer.from(TaskExit.encode({ containerId, pid: 7, exitStatus: 137 })),
});
const envelope = (namespace: string, topic: string, event = exit("web")) => ({
  namespace,
  topic,
  timestamp: { seconds: 5n, nanos: 6 },
  event,
});

/** Topics of the first events that reach a subscriber, who has subscribed before `act`. */
async function seenBy(
  records: ReturnType<typeof openTestRecords>,
  count: number,
  filters: string[],
  act: () => Promise<unknown>,
) {
  const seen: containerd.types.Envelope[] = [];
  const subscription = records.services().events.subscribe({ filters })[Symbol.asyncIterator]();
  const first = subscription.next();
  await act();
  for (let next = await first; !next.done; next = await subscription.next()) {
    seen.push(next.value);
    if (seen.length === count) break;
  }
  await subscription.return?.();
  return seen;
}

test("a forwarded event reaches subscribers byte for byte, with its own time", async () => {
  using records = openTestRecords();
  // Unknown fields and another order than ours must survive.
  const odd = { typeUrl: ANY.taskExit, value: Buffer.from("18070a03776562f80101", "hex") };
  const sent = envelope("other", "/tasks/exit", odd);
  const [seen] = await seenBy(records, 1, [], () => records.services().events.forward({ envelope: sent }));
  assert.deepEqual(seen, sent);
});

test("publish takes the namespace of the call and the time of the clock", async () => {
  using records = openTestRecords();
  const { events } = records.services("caller");
  const [seen] = await seenBy(records, 1, [], () => events.publish({ topic: "/x/y", event: exit("web") }));
  assert.deepEqual([seen?.namespace, seen?.topic, seen?.timestamp?.seconds], ["caller", "/x/y", 1_700_000_000n]);
  await assert.rejects(records.services("").events.publish({ topic: "/x" }), { code: Code.FailedPrecondition });
  for (const topic of ["", "x", "/", "/a//b", "/a b", "/a/"]) {
    await assert.rejects(events.publish({ topic, event: exit("web") }), { code: Code.InvalidArgument }, topic);
  }
  await assert.rejects(events.publish({ topic: "/x" }), { code: Code.InvalidArgument });
});

test("forward refuses bad namespaces and topics, and no envelope at all", async () => {
  using records = openTestRecords();
  const { events } = records.services("");
  for (const [namespace, topic] of [
    ["", "/a"],
    ["a/b", "/a"],
    ["ns", "a"],
    ["ns", "/a//b"],
  ] as const) {
    await assert.rejects(events.forward({ envelope: envelope(namespace, topic) }), { code: Code.InvalidArgument });
  }
  await assert.rejects(events.forward({}), { code: Code.InvalidArgument });
  assert.deepEqual(records.published, []);
});

test("filters see namespace, topic and the texts of the message", async () => {
  using records = openTestRecords();
  const all = [
    envelope("n", "/tasks/exit", exit("x")),
    envelope("n", "/tasks/exit", exit("y")),
    envelope("m", "/tasks/exit", exit("x")),
    envelope("n", "/tasks/odd", { typeUrl: "unknown.Type", value: Buffer.from("xx") }),
    envelope("n", "/tasks/broken", { typeUrl: ANY.taskExit, value: Buffer.from([255]) }),
    envelope("n", "/end"),
  ];
  const forwardAll = async () => {
    for (const each of all) await records.services().events.forward({ envelope: each });
  };
  const matched = async (filter: string) => {
    const found: string[] = [];
    const subscription = records
      .services()
      .events.subscribe({ filters: [filter, "topic==/end"] })
      [Symbol.asyncIterator]();
    const first = subscription.next();
    await forwardAll();
    for (let next = await first; !next.done && next.value.topic !== "/end"; next = await subscription.next()) {
      found.push(`${next.value.namespace} ${next.value.topic}`);
    }
    await subscription.return?.();
    return found;
  };
  assert.deepEqual(await matched("namespace==n,event.container_id==x"), ["n /tasks/exit"]);
  assert.equal((await matched("topic~=/tasks/")).length, 5);
  assert.deepEqual(await matched("event.exit_status==137"), []);
  assert.deepEqual(await matched("event.pid"), []);
  assert.deepEqual(await matched("event.container_id!=x,topic~=odd"), ["n /tasks/odd"]);
  await assert.rejects(matched("topic=x"), { code: Code.Unknown });
});

test("subscribers come and go; a slow one loses nothing and blocks nobody", async () => {
  using records = openTestRecords();
  const { events, containers } = records.services();
  const slow = events.subscribe({})[Symbol.asyncIterator]();
  const first = slow.next();
  for (let index = 0; index < 1000; index++) {
    await events.publish({ topic: `/n/${index}`, event: exit("x") });
  }
  const [last] = await seenBy(records, 1, ["topic==/containers/create"], () =>
    containers.create({ container: testContainer("x") }),
  );
  assert.equal(last?.topic, "/containers/create");
  for (let index = 0, next = await first; index < 1000; index++, next = await slow.next()) {
    assert.equal(next.value.topic, `/n/${index}`);
  }
  await slow.return?.();
});

test("a subscription ends with the client's signal, and leaves nothing behind", async () => {
  using records = openTestRecords();
  const controller = new AbortController();
  const subscription = records.services().events.subscribe({}, { signal: controller.signal })[Symbol.asyncIterator]();
  const next = subscription.next();
  controller.abort();
  await assert.rejects(next, { code: Code.Canceled });
  assert.equal(records.events.subscribers, 1, "the test's own");
});
