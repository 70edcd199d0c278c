import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { after, test } from "node:test";
import { Code } from "ttrpc-ts";
import { attachTerminal } from "./attach-terminal.ts";

const directory = mkdtempSync(join(tmpdir(), "kata-attach-"));
const path = join(directory, "debug.sock");
/** Says everything again, louder. */
const server = createServer((socket: Socket) => {
  socket.on("data", (chunk: Buffer) => socket.write(chunk.toString().toUpperCase())).on("error", () => undefined);
});
await new Promise<void>((resolve) => server.listen(path, resolve));
after(() => {
  server.close();
  rmSync(directory, { recursive: true });
});
const signal = AbortSignal.timeout(20_000);

test("keys go in, text comes out, Control-] leaves and the terminal is as before", async () => {
  const modes: boolean[] = [];
  const input = Object.assign(new PassThrough(), { isTTY: true, setRawMode: (raw: boolean) => modes.push(raw) });
  const output = new PassThrough();
  const attached = attachTerminal(path, { input, output }, signal);
  input.write("ls\x03\n");
  for await (const chunk of output.iterator({ destroyOnReturn: false })) {
    assert.equal(String(chunk), "LS\x03\n", "Control-C is the guest's");
    break;
  }
  input.write("never \x1d");
  await attached;
  assert.deepEqual(modes, [true, false]);
  assert.ok(!output.writableEnded);
});

test("a signal ends it; where nobody listens that is said", async () => {
  const stop = new AbortController();
  const attached = attachTerminal(path, { input: new PassThrough(), output: new PassThrough() }, stop.signal);
  setImmediate(() => stop.abort());
  await attached.catch((error: { code: number }) => assert.equal(error.code, Code.NotFound)); // before it was connected
  const nobody = attachTerminal("/none", { input: new PassThrough(), output: new PassThrough() }, signal);
  await assert.rejects(nobody, { code: Code.NotFound, message: /^\/none: no machine with a debug console is there/ });
});
