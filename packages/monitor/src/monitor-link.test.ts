import assert from "node:assert/strict";
import { once } from "node:events";
import type { Socket } from "node:net";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { HelloFlag, MessageType } from "./message.ts";
import { MessageStream } from "./message-stream.ts";
import { ConnectedMonitor } from "./monitor-link.ts";

test("a monitor that was started before an upgrade is not asked for what it does not know", async () => {
  for (const flags of [0, HelloFlag.Last]) {
    const stream = new PassThrough();
    const hello = { type: MessageType.Hello, flags, version: 1, pid: 7, identity: "" } as const;
    const monitor = new ConnectedMonitor(stream as unknown as Socket, hello, () => undefined);
    monitor.spawn("init", { program: new Uint8Array(), watches: [11], last: 22 });
    await once(stream, "readable");
    const [spawn] = [...new MessageStream().push(stream.read() as Buffer)];
    assert.ok(spawn?.type === MessageType.Spawn);
    assert.deepEqual(spawn.watches, flags === 0 ? [11] : [11, 22 | 0x40]);
  }
});
