import assert from "node:assert/strict";
import { type IncomingHttpHeaders, type RequestOptions, request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { parseLoopback, serveHttp } from "./serve-http.ts";

interface Answered {
  readonly status: number | undefined;
  readonly body: string;
  readonly headers: IncomingHttpHeaders;
}

function ask(options: RequestOptions): Promise<Answered> {
  return new Promise((resolve, reject) => {
    request(options, (response) => {
      const { statusCode: status, headers } = response;
      void text(response).then((body) => resolve({ status, body, headers }), reject);
    })
      .on("error", reject)
      .end();
  });
}

test("only loopback is listened on", () => {
  assert.deepEqual(parseLoopback("127.0.0.1:9464"), { host: "127.0.0.1", port: 9464 });
  assert.deepEqual(parseLoopback("[::1]:0"), { host: "::1", port: 0 });
  assert.deepEqual(parseLoopback("localhost:80"), { host: "localhost", port: 80 });
  for (const text of [
    "0.0.0.0:80",
    "10.0.0.1:80",
    "127.0.0.1",
    ":80",
    "[::]:80",
    "127.0.0.1:65536",
    "localhost.example:1",
  ])
    assert.throws(() => parseLoopback(text), { code: 3 }, text);
});

test("a page of another site is refused, however it gets here", async () => {
  let asked = 0;
  await using server = await serveHttp({ host: "127.0.0.1", port: 0 }, async ({ path, query, authorization }) => {
    asked++;
    return { status: 200, type: "text/plain", body: `${path} ${query.get("a")} ${authorization}` };
  });
  const { port } = new URL(server.url);
  const get = (headers: Record<string, string>, more: RequestOptions = {}) =>
    ask({ host: "127.0.0.1", port, path: "/x?a=b", headers, ...more });
  const fine = await get({ authorization: "Bearer t" });
  assert.deepEqual([fine.status, fine.body], [200, "/x b Bearer t"]);
  assert.equal(fine.headers["x-content-type-options"], "nosniff");
  assert.equal((await get({ host: `localhost:${port}` })).status, 200);
  assert.equal((await get({ origin: `http://127.0.0.1:${port}`, "sec-fetch-site": "same-origin" })).status, 200);
  const before = asked;
  assert.equal((await get({ host: `rebound.example:${port}` })).status, 403);
  assert.equal((await get({ host: `127.0.0.1.example:${port}` })).status, 403);
  assert.equal((await get({ host: "127.0.0.1" })).status, 403);
  assert.equal((await get({ origin: "http://evil.example" })).status, 403);
  assert.equal((await get({ "sec-fetch-site": "cross-site" })).status, 403);
  assert.equal((await get({}, { method: "POST" })).status, 405);
  assert.equal(asked, before);
});

test("a unix socket, and an error that is told", async () => {
  using directory = temporaryDirectory();
  const path = join(directory.path, "x.sock");
  await using _server = await serveHttp({ path }, async () => {
    throw new Error("no numbers");
  });
  const { status, body } = await ask({ socketPath: path, path: "/" });
  assert.deepEqual([status, body], [500, "no numbers\n"]);
});
