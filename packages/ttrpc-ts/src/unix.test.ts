import assert from "node:assert/strict";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { echo, echoImplementation } from "../conformance/echo.ts";
import { Client, Code, connectUnix, listenUnix, Server } from "./index.ts";

function tempSocket(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "ttrpc-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return join(folder, "socket");
}

function echoServer(): Server {
  const server = new Server();
  server.register(echo, echoImplementation);
  return server;
}

test("a call over a socket that only its owner may use; with a scheme too", async (t) => {
  const path = tempSocket(t);
  const server = echoServer();
  await listenUnix(server, path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const client = new Client(await connectUnix(`unix://${path}`, { timeoutMs: 5000 }));
  assert.equal((await client.service(echo).unary({ typeUrl: "web" })).typeUrl, "web");
  await server.shutdown();
  await client.closed;
  assert.equal(existsSync(path), false);
});

test("a peer that is not accepted is closed without a byte", async (t) => {
  const path = tempSocket(t);
  const server = echoServer();
  const accept = () => {
    throw new Error("another gid");
  };
  await listenUnix(server, path, { accept });
  const socket = connect({ path });
  const bytes: Buffer[] = [];
  socket.on("data", (chunk: Buffer) => bytes.push(chunk));
  socket.on("error", () => {});
  await new Promise((resolve) => socket.once("close", resolve));
  assert.equal(bytes.length, 0);
  server.close();
});

test("what accept returns is the calls' data", async (t) => {
  const path = tempSocket(t);
  const server = new Server<number>();
  server.register(echo, { ...echoImplementation, unary: (_request, { data }) => ({ typeUrl: String(data) }) });
  let count = 0;
  await listenUnix(server, path, { accept: () => ++count });
  for (const expected of ["1", "2"]) {
    const client = new Client(await connectUnix(path));
    assert.equal((await client.service(echo).unary({})).typeUrl, expected);
    client.close();
    await client.closed;
  }
  server.close();
});

test("an absent socket is Unavailable, a taken one is EADDRINUSE", async (t) => {
  const path = tempSocket(t);
  await assert.rejects(connectUnix(path), { code: Code.Unavailable, message: /ENOENT/ });
  const listener = await listenUnix(echoServer(), path);
  await assert.rejects(listenUnix(echoServer(), path), { code: "EADDRINUSE" });
  listener.close();
  listener.close();
});

test("a peer that dies in mid-frame gives ttrpc: closed", async (t) => {
  const path = tempSocket(t);
  const dying = createServer((socket) => {
    socket.on("error", () => {});
    socket.once("data", () => socket.end(Buffer.from("0000000a", "hex")));
  }).listen(path);
  const client = new Client(await connectUnix(path));
  await assert.rejects(client.service(echo).unary({}), { code: Code.Unknown, message: "ttrpc: closed" });
  dying.close();
});

test("a client that half-closes loses its connection, not the server", async (t) => {
  const path = tempSocket(t);
  const server = echoServer();
  await listenUnix(server, path);
  const socket = connect({ path });
  socket.end();
  socket.resume();
  await new Promise((resolve) => socket.once("close", resolve));
  const client = new Client(await connectUnix(path));
  await client.service(echo).unary({});
  server.close();
});
