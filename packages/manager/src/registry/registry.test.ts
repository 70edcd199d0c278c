import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import { digestOf } from "../content/digest.ts";
import { Code, messageOf } from "../errors/manager-error.ts";
import { FakeRegistry } from "../testing/fake-registry.ts";
import type { PushSource } from "./push.ts";
import { parseReference } from "./reference.ts";
import { Registry, type RegistryOptions } from "./registry.ts";

const TYPE = "application/vnd.oci.image.manifest.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";
const RETRY = { attempts: 3, backoffMs: 1 };

function open(server: FakeRegistry, options: Partial<RegistryOptions> = {}, name = "a/b:t"): Promise<Registry> {
  const reference = parseReference(`${server.host}/${name}`);
  return Registry.open({ reference, signal: new AbortController().signal, stallMs: 200, retry: RETRY, ...options });
}

async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

function source(bytes: Buffer, mediaType = LAYER): PushSource {
  const part = async function* (offset: number, length: number) {
    for (let at = offset; at < offset + length; at += 1000)
      yield bytes.subarray(at, Math.min(at + 1000, offset + length));
  };
  return { mediaType, digest: digestOf(bytes), size: bytes.length, read: part };
}

test("resolve takes the header's word, or reads the manifest where there is none", async () => {
  await using server = await FakeRegistry.open();
  const target = server.addManifest(TYPE, { a: 1 }, "t");
  using registry = await open(server);
  assert.deepEqual(await registry.resolve(), target);
  assert.deepEqual(
    server.seen.map(({ method }) => method),
    ["HEAD"],
  );
  server.intercept = (request, response) => {
    if (request.method !== "HEAD") return false;
    response.writeHead(405).end();
    return true;
  };
  assert.deepEqual(await registry.resolve(), target);
  using missing = await open(server, {}, "a/b:none");
  server.intercept = () => false;
  await assert.rejects(missing.resolve(), { code: Code.NotFound, message: `${server.host}/a/b:none: not found` });
});

test("a name with a digest gets that digest or DataLoss", async () => {
  await using server = await FakeRegistry.open();
  server.addManifest(TYPE, { a: 1 }, "t");
  const wanted = digestOf("other");
  server.manifests.set(wanted, { type: TYPE, bytes: Buffer.from("lie") });
  using registry = await open(server, {}, `a/b@${wanted}`);
  await assert.rejects(registry.resolve(), { code: Code.DataLoss });
});

test("a transfer that breaks or stalls goes on where it stopped, and no byte comes twice", async () => {
  await using server = await FakeRegistry.open();
  const bytes = randomBytes(300_000);
  const target = { ...server.addBlob(bytes), mediaType: LAYER };
  for (const ending of ["destroy", "stall", "end", "503"] as const) {
    server.seen.length = 0;
    const failed = { yet: false };
    server.intercept = (request, response) => {
      if (request.headers.range !== undefined || (ending === "503" && failed.yet)) return false;
      failed.yet = true;
      if (ending === "503") return response.writeHead(503).end().writableEnded;
      response.writeHead(200, ending === "end" ? {} : { "content-length": bytes.length });
      response.write(bytes.subarray(0, 100_000), () => {
        if (ending === "destroy") response.destroy();
        if (ending === "end") response.end();
      });
      return true;
    };
    using registry = await open(server);
    assert.deepEqual(await read(registry.fetch(target)), bytes, ending);
    const ranges = server.seen.map(({ headers }) => headers.range);
    if (ending === "503") assert.deepEqual(ranges, [undefined, undefined]);
    else assert.match(ranges[1] ?? "", /^bytes=\d{5,6}-$/, ending);
  }
});

test("a server without ranges gets its first bytes thrown away", async () => {
  await using server = await FakeRegistry.open();
  const bytes = randomBytes(5000);
  const target = { ...server.addBlob(bytes), mediaType: LAYER };
  server.intercept = (request) => {
    delete request.headers.range;
    return false;
  };
  using registry = await open(server);
  assert.deepEqual(await read(registry.fetch(target, 1234)), bytes.subarray(1234));
});

test("a wrong length is DataLoss at once; a transfer that never gets anywhere ends", async () => {
  await using server = await FakeRegistry.open();
  const { digest, size } = server.addBlob(randomBytes(5000));
  using registry = await open(server);
  const wrong = registry.fetch({ digest, size: size - 1, mediaType: LAYER });
  await assert.rejects(read(wrong), { code: Code.DataLoss, message: /5000 bytes instead of 4999/ });
  assert.equal(server.seen.length, 1);
  server.intercept = (_request, response) => response.writeHead(200).end(Buffer.alloc(size + 1)).writableEnded;
  const longer = registry.fetch({ digest, size, mediaType: LAYER });
  await assert.rejects(read(longer), { code: Code.DataLoss, message: /more than 5000 bytes/ });
  server.intercept = (_request, response) =>
    response.writeHead(206, { "content-range": "bytes 5-9/5000" }).end().writableEnded;
  await assert.rejects(read(registry.fetch({ digest, size, mediaType: LAYER }, 7)), { code: Code.DataLoss });
  server.seen.length = 0;
  server.intercept = () => true; // not a byte, ever
  await assert.rejects(read(registry.fetch({ digest, size, mediaType: LAYER })), /no byte for 200 ms/);
  assert.equal(server.seen.length, RETRY.attempts);
});

test("429 waits as long as the registry says", async () => {
  await using server = await FakeRegistry.open();
  const bytes = randomBytes(10);
  const target = { ...server.addBlob(bytes), mediaType: LAYER };
  server.intercept = (_request, response, count) =>
    count === 1 && response.writeHead(429, { "retry-after": "1" }).end().writableEnded;
  using registry = await open(server);
  const begin = performance.now();
  assert.deepEqual(await read(registry.fetch(target)), bytes);
  assert.ok(performance.now() - begin >= 990);
});

test("an abort ends a stalled transfer at once", async () => {
  await using server = await FakeRegistry.open();
  const controller = new AbortController();
  using registry = await open(server, { signal: controller.signal, stallMs: 60_000 });
  server.intercept = () => {
    setImmediate(() => controller.abort());
    return true;
  };
  await assert.rejects(registry.resolve(), { name: "AbortError" });
});

test("a proxy is used if the environment names one, but not for loopback", async () => {
  await using proxy = await FakeRegistry.open();
  await using server = await FakeRegistry.open();
  const target = proxy.addManifest(TYPE, { a: 1 }, "t");
  server.addManifest(TYPE, { a: 2 }, "t");
  const proxyEnv = { HTTP_PROXY: `http://${proxy.host}`, NO_PROXY: "direct.invalid" };
  const signal = new AbortController().signal;
  const resolve = async (host: string) => {
    const reference = parseReference(`${host}/a/b:t`);
    using registry = await Registry.open({ reference, signal, retry: RETRY, proxyEnv, scheme: "http" });
    return registry.resolve();
  };
  assert.deepEqual(await resolve("registry.invalid"), target);
  assert.equal(proxy.seen[0]?.path, "http://registry.invalid/v2/a/b/manifests/t");
  assert.notDeepEqual(await resolve(server.host), target);
  await assert.rejects(resolve("direct.invalid"), { code: Code.Unavailable });
  assert.equal(proxy.seen.length, 1);
});

test("secrets stay with the registry: a redirect to elsewhere gets no header of ours, and no error shows one", async () => {
  await using server = await FakeRegistry.open();
  await using other = await FakeRegistry.open();
  const bytes = randomBytes(100);
  const target = { ...other.addBlob(bytes), mediaType: LAYER };
  server.intercept = (request, response) => {
    if (request.headers.authorization !== `Basic ${Buffer.from("u:geheim").toString("base64")}`) {
      response.writeHead(401, { "www-authenticate": 'Basic realm="x"' }).end();
    } else {
      const location = `http://${other.host}/v2/x/blobs/${target.digest}?signature=geheim`;
      response.writeHead(307, { location }).end();
    }
    return true;
  };
  const options: Partial<RegistryOptions> = {
    headers: { "x-key": "geheim" },
    credentials: async () => ({ kind: "password", username: "u", secret: "geheim" }),
  };
  using registry = await open(server, options);
  assert.deepEqual(await read(registry.fetch(target)), bytes);
  assert.equal(server.seen.at(-1)?.headers["x-key"], "geheim");
  assert.equal(other.seen.length, 1);
  assert.ok(!JSON.stringify(other.seen[0]?.headers).includes("geheim"));
  other.intercept = (_request, response) => response.writeHead(404).end().writableEnded;
  const error = await read(registry.fetch(target)).catch((thrown: unknown) => thrown);
  assert.ok(!messageOf(error).includes("geheim"), messageOf(error));
  server.intercept = (_request, response) => response.writeHead(307, { location: "/again" }).end().writableEnded;
  await assert.rejects(read(registry.fetch(target)), /more than 10 redirects/);
});

test("a 401 again and again ends after the second", async () => {
  await using server = await FakeRegistry.open();
  server.intercept = (request, response) => {
    if (request.url?.startsWith("/token")) return response.end('{"token":"abc"}').writableEnded;
    const challenge = `Bearer realm="http://${server.host}/token",service="s",scope="repository:a/b:pull"`;
    return response.writeHead(401, { "www-authenticate": challenge }).end().writableEnded;
  };
  using registry = await open(server);
  await assert.rejects(registry.resolve(), { code: Code.Unauthenticated });
  assert.deepEqual(
    server.seen.map(({ path }) => path.split("?")[0]),
    ["/v2/a/b/manifests/t", "/token", "/v2/a/b/manifests/t"],
  );
});

test("many requests at a time share one token; it is asked for anew when it has expired", async () => {
  await using server = await FakeRegistry.open();
  const blobs = [1, 2, 3].map((each) => ({ ...server.addBlob(`${each}`), mediaType: LAYER }));
  const tokens = { made: 0 };
  server.intercept = (request, response) => {
    if (request.url?.startsWith("/token")) {
      tokens.made++;
      return response.end(JSON.stringify({ access_token: `t${tokens.made}`, expires_in: 3600 })).writableEnded;
    }
    if (request.headers.authorization === `Bearer t${tokens.made}`) return false;
    const challenge = `Bearer realm="http://${server.host}/token"`;
    return response.writeHead(401, { "www-authenticate": challenge }).end().writableEnded;
  };
  const asked: string[] = [];
  using registry = await open(server, {
    credentials: async ({ host, reference }) => {
      asked.push(host, reference);
      return { kind: "password", username: "u", secret: "p" };
    },
  });
  const all = () => Promise.all(blobs.map((blob) => read(registry.fetch(blob))));
  assert.deepEqual((await all()).map(String), ["1", "2", "3"]);
  assert.equal(tokens.made, 1);
  tokens.made++; // the server forgets the token
  assert.deepEqual((await all()).map(String), ["1", "2", "3"]);
  assert.equal(tokens.made, 3);
  assert.deepEqual(asked, [server.host, `${server.host}/a/b:t`]);
  const request = server.seen.find(({ path }) => path.startsWith("/token"));
  assert.equal(request?.headers.authorization, `Basic ${Buffer.from("u:p").toString("base64")}`);
  assert.equal(new URL(request?.path ?? "", "http://x").searchParams.get("scope"), "repository:a/b:pull");
});

test("a refresh token goes to the token server as a form, and to nobody else", async () => {
  await using server = await FakeRegistry.open();
  await using other = await FakeRegistry.open();
  const target = server.addManifest(TYPE, {}, "t");
  const redirect = { to: "" };
  server.intercept = (request, response) => {
    if (request.url === "/token" && redirect.to !== "") {
      return response.writeHead(307, { location: redirect.to }).end().writableEnded;
    }
    if (request.url === "/token") {
      request.setEncoding("utf8").once("data", (form: string) => {
        const { grant_type, refresh_token } = Object.fromEntries(new URLSearchParams(form));
        response.end(JSON.stringify({ token: `${grant_type}-${refresh_token}` }));
      });
      return true;
    }
    if (request.headers.authorization === "Bearer refresh_token-geheim") return false;
    const challenge = `Bearer realm="http://${server.host}/token"`;
    return response.writeHead(401, { "www-authenticate": challenge }).end().writableEnded;
  };
  const credentials = async () => ({ kind: "refresh" as const, token: "geheim" });
  using registry = await open(server, { credentials });
  assert.deepEqual(await registry.resolve(), target);
  redirect.to = `http://${other.host}/token`;
  using again = await open(server, { credentials });
  await assert.rejects(again.resolve(), /a redirect of a secret/);
  assert.equal(other.seen.length, 0);
});

test("push: there already, mounted, in one piece, in chunks after a 413, anew after a break", async () => {
  await using server = await FakeRegistry.open();
  using registry = await open(server);
  const one = source(randomBytes(40_000));
  assert.equal(await registry.pushBlob(one), "uploaded");
  assert.deepEqual(server.blobs.get(one.digest)?.length, 40_000);
  assert.equal(await registry.pushBlob(one), "exists");

  const mounted = source(Buffer.from("mounted"));
  server.blobs.set(mounted.digest, Buffer.from("mounted"));
  server.intercept = (request, response) => {
    if (request.method !== "HEAD") return false;
    return response.writeHead(404).end().writableEnded;
  };
  assert.equal(await registry.pushBlob(mounted, "c/d"), "mounted");
  assert.match(server.seen.at(-1)?.path ?? "", /mount=sha256%3A.*&from=c%2Fd/);

  const large = source(randomBytes(17 << 20));
  server.intercept = (request, response) => {
    if (request.method !== "PUT" || Number(request.headers["content-length"]) === 0) return false;
    return response.writeHead(413).end().writableEnded;
  };
  assert.equal(await registry.pushBlob(large), "uploaded");
  assert.equal(server.blobs.get(large.digest)?.length, 17 << 20);

  const broken = source(randomBytes(3_000_000));
  const breaks = { left: 1 };
  server.intercept = (request) => {
    if (request.method !== "PUT" || breaks.left-- <= 0) return false;
    request.once("data", () => request.destroy());
    return true;
  };
  assert.equal(await registry.pushBlob(broken), "uploaded");

  const manifest = source(Buffer.from("{}"), TYPE);
  assert.equal(await registry.pushManifest(manifest, true), "uploaded");
  assert.deepEqual(server.manifests.get("t"), { type: TYPE, bytes: Buffer.from("{}") });
  assert.equal(await registry.pushManifest(manifest, false), "exists");
});

test("a push fails with the source's own error", async () => {
  await using server = await FakeRegistry.open();
  using registry = await open(server);
  const broken: PushSource = {
    ...source(Buffer.alloc(10)),
    read: async function* () {
      yield Buffer.alloc(1);
      throw new RangeError("disk");
    },
  };
  await assert.rejects(registry.pushBlob(broken), { name: "RangeError" });
});
