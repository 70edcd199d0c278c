import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Client, Code, connectUnix, listenUnix, Server } from "../src/index.ts";
import { cases, streamCases } from "./cases.ts";
import { echo, echoImplementation } from "./echo.ts";
import { buildPeer, runPeer, startPeer, VERSIONS } from "./peer.ts";

const known: Readonly<Record<string, readonly string[]>> = JSON.parse(
  readFileSync(join(import.meta.dirname, "known-failures.json"), "utf8"),
);

function tempSocket(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "ttrpc-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "socket");
}

/** A known failure must fail: one that passes has to leave the list. */
function assertKnown(direction: string, failures: ReadonlyMap<string, unknown>): void {
  for (const [name, error] of failures) if (known[direction]?.includes(name) !== true) console.error(name, error);
  assert.deepEqual([...failures.keys()].sort(), [...(known[direction] ?? [])].sort());
}

for (const version of VERSIONS) {
  const toGo = `ours against Go ${version}`;
  test(toGo, async (t) => {
    const socket = tempSocket(t);
    using _peer = await startPeer(buildPeer(version), socket);
    const client = new Client(await connectUnix(socket));
    const failures = new Map<string, unknown>();
    for (const [name, run] of Object.entries(version === "1.1" ? cases : { ...cases, ...streamCases })) {
      await run(client.service(echo)).catch((error: unknown) => failures.set(name, error));
    }
    const waiting = client.service(echo).wait({});
    client.close();
    await assert.rejects(waiting, { code: Code.Unknown, message: "ttrpc: closed" });
    assertKnown(toGo, failures);
  });

  const fromGo = `Go ${version} against ours`;
  test(fromGo, async (t) => {
    const socket = tempSocket(t);
    const server = new Server();
    server.register(echo, echoImplementation);
    await listenUnix(server, socket);
    const lines = await runPeer(buildPeer(version), ["check", socket]);
    server.close();
    assert.ok(lines.length > 20, "the peer has stopped early");
    const failed = lines.filter((line) => !line.startsWith("ok "));
    assertKnown(fromGo, new Map(failed.map((line) => [line.replace(/^FAIL (.*?): .*/, "$1"), line])));
  });
}
