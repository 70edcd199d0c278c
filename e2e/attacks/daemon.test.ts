/** The manager as a daemon: hostile bytes on its socket, what others may read of its directories, and what it tells of a registry's password. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { BUILD_BIN } from "../harness/containerd.ts";
import { type Finished, run } from "../harness/process.ts";
import { throwAt } from "./bed/throw-at.ts";

const PASSWORD = "hunter2-do-not-tell";
const TOLD = /hunt|not-tell|c2lnbmF0dXJl/;
const NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

let folder: string;
let daemon: ChildProcess;
let log = "";
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "attack-daemon-"));
  await run(["chmod", "755", folder]);
  daemon = spawn(join(BUILD_BIN, "trimaran"), [...directories(), "daemon", "--debug"], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const serving = Promise.withResolvers<void>();
  for (const stream of [daemon.stdout, daemon.stderr])
    stream?.on("data", (chunk: Buffer) => {
      log += chunk;
      if (log.includes('msg="serving"')) serving.resolve();
    });
  daemon.once("exit", () => serving.reject(new Error(log)));
  await serving.promise;
});
after(async () => {
  daemon.removeAllListeners("exit");
  const ended = once(daemon, "exit");
  daemon.kill("SIGTERM");
  await ended;
  rmSync(folder, { recursive: true, force: true });
});

function directories(): string[] {
  return ["--root", join(folder, "root"), "--state", join(folder, "state")];
}

function trimaran(...words: readonly string[]): Promise<Finished> {
  return run([join(BUILD_BIN, "trimaran"), ...directories(), ...words], { env: process.env });
}

/** Paths of the daemon's sockets. */
async function sockets(): Promise<string[]> {
  const { stdout } = await run(["find", join(folder, "root"), join(folder, "state"), "-type", "s"]);
  return stdout.trim().split("\n").filter(Boolean);
}

const PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const frame = (type: number, flags: number, stream: number, body: Buffer, length = body.length) => {
  const head = Buffer.alloc(9);
  head.writeUIntBE(length & 0xffffff, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, body]);
};
const SETTINGS = frame(4, 0, 0, Buffer.alloc(0));

const INPUTS: readonly Buffer[] = [
  Buffer.from("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
  Buffer.alloc(1 << 20, 0xff),
  Buffer.from(PREFACE.slice(0, 10)),
  Buffer.concat([Buffer.from(PREFACE), SETTINGS, frame(1, 5, 1, Buffer.alloc(200, 0xff))]), // headers that are none
  Buffer.concat([Buffer.from(PREFACE), SETTINGS, frame(0, 0, 1, Buffer.alloc(5))]), // data of a stream that is not open
  Buffer.concat([Buffer.from(PREFACE), SETTINGS, frame(1, 0, 1, Buffer.alloc(10), 0xffffff)]),
  Buffer.concat([
    Buffer.from(PREFACE),
    SETTINGS,
    ...Array.from({ length: 2000 }, () => frame(6, 0, 0, Buffer.alloc(8))),
  ]), // pings
  Buffer.concat([Buffer.from(PREFACE), ...Array.from({ length: 2000 }, () => SETTINGS)]),
  Buffer.concat([
    Buffer.from(PREFACE),
    SETTINGS,
    ...Array.from({ length: 1000 }, (_, i) => frame(3, 0, 2 * i + 1, Buffer.alloc(4))),
  ]),
];

test("hostile bytes on the daemon's sockets: it goes on, and holds nothing of them", { timeout: 120_000 }, async () => {
  const paths = await sockets();
  assert.ok(paths.length > 0);
  for (const path of paths)
    await Promise.all(
      Array.from({ length: 90 }, (_, i) => throwAt(path, INPUTS[i % INPUTS.length] ?? Buffer.alloc(0), 700)),
    );
  assert.equal(daemon.exitCode, null);
  assert.equal((await trimaran("ps")).code, 0);
  assert.doesNotMatch(log, /TypeError|RangeError/);
});

test("CVE-2021-41103: another user reads nothing of the daemon's directories, and does not get at its sockets", async () => {
  const { stdout } = await run([...NOBODY, "find", join(folder, "root"), join(folder, "state"), "-readable"]);
  assert.equal(stdout, "");
  const dial =
    'require("node:net").connect(process.argv[1]).on("error",(e)=>console.log(e.code)).on("connect",()=>{console.log("in");process.exit()})';
  for (const path of await sockets()) {
    const { stdout: said } = await run([...NOBODY, process.execPath, "-e", dial, path]);
    assert.equal(said, "EACCES\n", path);
  }
});

/** Ways in which a registry fails; a link that it gives may be a secret itself. */
const ANSWERS: readonly ((response: ServerResponse, host: string) => unknown)[] = [
  (response) => response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end(),
  (response, host) =>
    response.writeHead(401, { "www-authenticate": `Bearer realm="http://${host}/token",service="s"` }).end(),
  (response) => response.writeHead(500).end("no"),
  (response) => response.writeHead(403).end('{"errors":[{"code":"DENIED","message":"no"}]}'),
  (response, host) => response.writeHead(307, { location: `http://${host}/other?sig=c2lnbmF0dXJl` }).end(),
  (response, host) => response.writeHead(307, { location: `http://me:${PASSWORD}@${host}/other` }).end(),
  (response) => response.destroy(),
  (response) => response.writeHead(200, { "content-type": "application/json" }).end("{"),
];

test("a registry's password is in no message and in no log, however the registry fails", {
  timeout: 120_000,
}, async () => {
  for (const [index, answer] of ANSWERS.entries()) {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.headers.authorization ?? "");
      answer(response, `127.0.0.1:${(server.address() as AddressInfo).port}`);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    for (const words of [["pull", "-u", `me:${PASSWORD}`, `127.0.0.1:${port}/a/b:1`]]) {
      const { code, stdout, stderr } = await trimaran(...words);
      assert.notEqual(code, 0);
      assert.doesNotMatch(`${stdout}${stderr}`, TOLD, `answer ${index}`);
    }
    server.closeAllConnections();
    server.close();
    const basic = `Basic ${Buffer.from(`me:${PASSWORD}`).toString("base64")}`;
    if (index === 0) assert.ok(asked.includes(basic), "it was used");
  }
  assert.doesNotMatch(log, TOLD);
});
