import assert from "node:assert/strict";
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Code } from "ttrpc-ts";
import { makeFifo, openReader } from "./fifo.ts";
import { InputStream } from "./input.ts";
import { OutputStream } from "./output.ts";

describe("streams", () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "trm-streams-"));
    path = join(folder, "fifo");
    makeFifo(path);
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const never = new AbortController().signal;
  const text = (data: Uint8Array): string => Buffer.from(data).toString();

  /** A stream with a writer. */
  function openOutput(): { stream: OutputStream; writer: number } {
    const stream = new OutputStream(path);
    const writer = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    stream.begin();
    return { stream, writer };
  }

  test("output is kept until a read from behind it, and comes again", async () => {
    const { stream, writer } = openOutput();
    writeSync(writer, "hello");
    assert.equal(text((await stream.read(0, 3, never)).data), "hel");
    assert.equal(text((await stream.read(0, 100, never)).data), "hello");
    assert.equal(text((await stream.read(2, 100, never)).data), "llo");
    await assert.rejects(stream.read(1, 100, never), { code: Code.OutOfRange });
    await assert.rejects(stream.read(6, 100, never), { code: Code.OutOfRange });
    writeSync(writer, " again");
    closeSync(writer);
    const rest: string[] = [];
    for (let at = 5, end = false; !end; ) {
      const chunk = await stream.read(at, 4, never);
      rest.push(text(chunk.data));
      at += chunk.data.length;
      end = chunk.end;
    }
    assert.equal(rest.join(""), " again");
    assert.equal(stream.reached, 11);
    stream.close();
  });

  test("a read waits; it is given up with its connection, and the next one gets what comes", async () => {
    const { stream, writer } = openOutput();
    const controller = new AbortController();
    const given = stream.read(0, 10, controller.signal);
    controller.abort(new Error("gone"));
    await assert.rejects(given, /gone/);
    const next = stream.read(0, 10, never);
    writeSync(writer, "x");
    assert.equal(text((await next).data), "x");
    closeSync(writer);
    stream.close();
  });

  test("a host that does not read stops the writer, and no more than the window is kept", async () => {
    const { stream, writer } = openOutput();
    let written = 0;
    const chunk = Buffer.alloc(65_536);
    for (let stalled = 0; stalled < 20; ) {
      try {
        written += writeSync(writer, chunk);
        stalled = 0;
      } catch {
        stalled++;
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    }
    assert.ok(written < 1_000_000, `${written}`);
    let read = 0;
    while (read < written) read += (await stream.read(read, 1 << 20, never)).data.length;
    assert.equal(read, written);
    closeSync(writer);
    stream.close();
  });

  test("input that comes again is written once; a gap is refused; the end is told once", async () => {
    const reader = new Socket({ fd: openReader(path), readable: true, writable: false });
    let ends = 0;
    const stream = new InputStream(path, () => void ends++);
    stream.begin();
    const read: Buffer[] = [];
    reader.on("data", (chunk: Buffer) => void read.push(chunk));
    await stream.write(0, Buffer.from("abc"), false);
    await stream.write(0, Buffer.from("abcde"), false);
    await assert.rejects(stream.write(6, Buffer.from("x"), false), { code: Code.OutOfRange });
    assert.equal(stream.offset, 5);
    const closed = new Promise((resolve) => reader.once("close", resolve));
    await stream.write(5, Buffer.from("f"), true);
    await stream.write(6, Buffer.alloc(0), true);
    await closed;
    assert.deepEqual([Buffer.concat(read).toString(), ends, stream.isClosed], ["abcdef", 1, true]);
  });

  test("input that comes before the process does waits for it: none is lost", async () => {
    const stream = new InputStream(path, () => undefined);
    const early = [stream.write(0, Buffer.from("abc"), false), stream.write(3, Buffer.from("def"), true)];
    const reader = new Socket({ fd: openReader(path), readable: true, writable: false });
    const read: Buffer[] = [];
    reader.on("data", (chunk: Buffer) => void read.push(chunk));
    const closed = new Promise((resolve) => reader.once("close", resolve));
    await new Promise(setImmediate);
    assert.equal(stream.offset, 0);
    stream.begin();
    await Promise.all([...early, closed]);
    assert.equal(Buffer.concat(read).toString(), "abcdef");
  });

  test("without a reader input is closed, not stuck", async () => {
    const stream = new InputStream(path, () => undefined);
    stream.begin();
    assert.ok(stream.isClosed);
    await stream.write(0, Buffer.from("abc"), false);
    stream.close();
  });
});
