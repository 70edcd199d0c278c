import assert from "node:assert/strict";
import { test } from "node:test";
import { BUILDS, eventually, makeMonitor, Pod } from "./testing/pod.ts";
import { encodeFrame, FrameType, parseRequest, request, response } from "./testing/ttrpc.ts";

makeMonitor(...BUILDS);

for (const build of BUILDS) {
  /** Answers every request with its own payload, in upper case; Wait never. */
  async function openEcho(): Promise<Pod> {
    const pod = await Pod.open(build);
    pod.link.onFrame = (conn, bytes) => {
      const frame = Buffer.from(bytes);
      const { method, payload } = parseRequest(frame.subarray(10));
      if (method !== "Wait") pod.link.send(conn, response(frame.readUInt32BE(4), payload.toString().toUpperCase()));
    };
    return pod;
  }

  test(`${build}: frames cut anywhere arrive whole`, async () => {
    await using pod = await openEcho();
    using client = await pod.connect();
    const bytes = Buffer.concat([request(1, "Echo", "one"), request(3, "Echo", "two"), request(5, "Echo", "")]);
    for (const byte of bytes) {
      client.socket.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    assert.deepEqual([await client.answer(1), await client.answer(3), await client.answer(5)], ["ONE", "TWO", ""]);
  });

  test(`${build}: a large frame passes both ways`, async () => {
    await using pod = await openEcho();
    using client = await pod.connect();
    const big = "x".repeat(3_000_000);
    assert.equal(await client.call("Echo", big), big.toUpperCase());
    assert.equal(await client.call("Echo", "after"), "AFTER");
  });

  test(`${build}: an oversized payload is dropped, its header comes with a flag, the connection lives on`, async () => {
    await using pod = await openEcho();
    using client = await pod.connect();
    const seen: { bytes: Buffer; oversized: boolean }[] = [];
    const echo = pod.link.onFrame;
    pod.link.onFrame = (conn, bytes, info) => {
      seen.push({ bytes: Buffer.from(bytes), oversized: info.oversized });
      if (info.oversized) pod.link.send(conn, response(7, "too long"));
      else echo(conn, bytes, info);
    };
    client.socket.write(
      encodeFrame({ stream: 7, type: FrameType.Request, flags: 0, payload: Buffer.alloc((4 << 20) + 1) }),
    );
    assert.equal(await client.answer(7), "too long");
    assert.equal(seen[0]?.oversized, true);
    assert.equal(seen[0]?.bytes.length, 10);
    assert.equal(await client.call("Echo", "more"), "MORE");
  });

  test(`${build}: a thousand open Waits, each answered once`, async () => {
    await using pod = await Pod.open(build);
    using client = await pod.connect();
    const open: [number, number][] = [];
    pod.link.onFrame = (conn, bytes) => void open.push([conn, Buffer.from(bytes).readUInt32BE(4)]);
    for (let i = 0; i < 1000; i++) client.ask("Wait", `${i}`);
    await eventually(() => open.length === 1000);
    for (const [conn, stream] of open.reverse()) pod.link.send(conn, response(stream, `${stream}`));
    await client.until(() => client.frames.length === 1000);
    assert.deepEqual(new Set(client.frames.map((f) => f.payload.toString())).size, 1000);
  });

  test(`${build}: a client that does not read stalls nobody else, and is not read from`, async () => {
    await using pod = await openEcho();
    using slow = await pod.connect();
    using quick = await pod.connect();
    slow.socket.pause();
    const payload = Buffer.alloc(1 << 20, "y");
    for (let i = 0; i < 40; i++) slow.ask("Echo", payload);
    for (let i = 0; i < 20; i++) assert.equal(await quick.call("Echo", "z"), "Z");
    slow.socket.resume();
    await slow.until(() => slow.frames.length === 40);
    assert.ok(slow.frames.every((f) => f.payload.length === 1 << 20));
  });

  test(`${build}: a closed connection is reported, an answer to it is dropped`, async () => {
    await using pod = await Pod.open(build);
    const client = await pod.connect();
    let conn = 0;
    let closed = 0;
    pod.link.onFrame = (c) => {
      conn = c;
    };
    pod.link.onConnClosed = (c) => {
      closed = c;
    };
    client.ask("Echo", "x");
    await eventually(() => conn > 0);
    client.socket.destroy();
    await eventually(() => closed === conn);
    pod.link.send(conn, response(1, "nobody"));
    using next = await pod.connect();
    next.ask("Echo", "x");
    await eventually(() => conn > closed);
  });

  test(`${build}: EXIT flushes what is queued, then the monitor ends`, async () => {
    await using pod = await Pod.open(build);
    using client = await pod.connect();
    let gone = false;
    pod.link.onClose = () => {
      gone = true;
    };
    pod.link.onFrame = (conn) => {
      pod.link.send(conn, response(1, "x".repeat(1_000_000)));
      pod.link.exit();
    };
    assert.equal((await client.call("Shutdown")).length, 1_000_000);
    await client.until(() => client.closed);
    await eventually(() => gone);
  });
}
