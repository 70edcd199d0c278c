import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex, duplexPair } from "node:stream";
import { test } from "node:test";
import { Code, channelFromStream, encodeFrame, type Frame, StatusError } from "./index.ts";

const bytesOf = (size: number) => encodeFrame({ streamId: 1, type: 3, flags: 0, payload: Buffer.alloc(size) });

/** A peer that takes nothing until it is told to. */
class StalledDuplex extends Duplex {
  readonly taken: Buffer[] = [];
  #waiting: (() => void) | undefined;
  #stalled = true;

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.taken.push(chunk);
    if (this.#stalled) this.#waiting = done;
    else done();
  }

  resumeWrites(): void {
    this.#stalled = false;
    this.#waiting?.();
  }
}

test("a stalled write does not stop the reader", async () => {
  const duplex = new StalledDuplex();
  const channel = channelFromStream(duplex);
  const frames: Frame[] = [];
  channel.onFrame = (frame) => frames.push(frame);
  for (let i = 0; i < 100; i++) channel.send(bytesOf(1000));
  for (let i = 0; i < 10; i++) duplex.push(bytesOf(i));
  while (frames.length < 10) await once(duplex, "data");
  assert.equal(frames.length, 10);
  assert.equal(duplex.taken.length, 1);
});

test("send is false above the high-water mark; onDrain follows", async () => {
  const duplex = new StalledDuplex();
  const channel = channelFromStream(duplex, { highWaterBytes: 100_000 });
  const drained = Promise.withResolvers<void>();
  channel.onDrain = () => drained.resolve();
  let sent = 0;
  while (channel.send(bytesOf(1000))) sent++;
  assert.ok(sent >= 95 && sent < 100, String(sent));
  await new Promise(setImmediate);
  assert.equal(channel.send(bytesOf(0)), false);
  duplex.resumeWrites();
  await drained.promise;
  assert.equal(channel.send(bytesOf(0)), true);
});

test("a peer that lets too much wait is cut off", async () => {
  const channel = channelFromStream(new StalledDuplex(), { highWaterBytes: 1000, limitBytes: 100_000 });
  const { promise, resolve } = Promise.withResolvers<Error | undefined>();
  channel.onClose = resolve;
  for (let i = 0; i < 200; i++) channel.send(bytesOf(1000));
  const error = await promise;
  assert.ok(error instanceof StatusError && error.code === Code.ResourceExhausted);
});

test("close flushes first and never half-closes", async () => {
  const [near, far] = duplexPair();
  const channel = channelFromStream(near);
  let finished = false;
  near.once("finish", () => (finished = true));
  const got: Buffer[] = [];
  far.on("data", (chunk: Buffer) => got.push(chunk));
  for (let i = 0; i < 10; i++) channel.send(bytesOf(50_000));
  channel.close();
  channel.close();
  await once(near, "close");
  await new Promise(setImmediate);
  assert.equal(Buffer.concat(got).length, 10 * 50_010);
  assert.equal(finished, false);
});

test("close gives up on a peer that takes nothing", async () => {
  const duplex = new StalledDuplex();
  const channel = channelFromStream(duplex, { closeTimeoutMs: 20 });
  channel.send(bytesOf(1));
  channel.close();
  const keepAlive = setTimeout(() => {}, 5000); // the channel's own timer keeps no process alive
  await once(duplex, "close");
  clearTimeout(keepAlive);
});

test("handlers may be set late: nothing is lost, the end is reported", async () => {
  const [near, far] = duplexPair();
  const channel = channelFromStream(near);
  far.write(bytesOf(3));
  await new Promise(setImmediate);
  const frame = Promise.withResolvers<Frame>();
  channel.onFrame = frame.resolve;
  assert.equal((await frame.promise).payload.length, 3);
  far.destroy();
  near.destroy();
  await once(near, "close");
  const { promise, resolve } = Promise.withResolvers<void>();
  channel.onClose = () => resolve();
  await promise;
});
