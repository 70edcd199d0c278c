import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { digestOf } from "../content/digest.ts";
import { Code } from "../errors/manager-error.ts";
import { FakeRegistry } from "../testing/fake-registry.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { parseHostsToml, readEndpoints } from "./hosts-toml.ts";
import { parseReference } from "./reference.ts";
import { Registry } from "./registry.ts";

const hrefs = (endpoints: readonly { readonly url: URL }[]) => endpoints.map(({ url }) => url.href);

test("mirrors come first, in the file's order, then the server", async () => {
  const text = `
server = "https://real.example"
[host."https://one.example/base/"]
capabilities = ["pull"]
[host."http://two.example:5000/v2"]
skip_verify = true
`;
  const endpoints = await parseHostsToml(text, "/h/hosts.toml", "docker.io");
  assert.deepEqual(hrefs(endpoints), [
    "https://one.example/base/v2",
    "http://two.example:5000/v2",
    "https://real.example/v2",
  ]);
  assert.deepEqual([...(endpoints[0]?.capabilities ?? [])], ["pull"]);
  assert.deepEqual([...(endpoints[1]?.capabilities ?? [])], ["pull", "resolve", "push"]);
  assert.deepEqual(
    endpoints.map(({ skipVerify, isMirror }) => [skipVerify, isMirror]),
    [
      [false, true],
      [true, true],
      [false, false],
    ],
  );
});

test("the server among the mirrors is no mirror, and is not there twice", async () => {
  const endpoints = await parseHostsToml(
    '[host."https://a.example"]\nskip_verify = true',
    "/h/hosts.toml",
    "a.example",
  );
  assert.deepEqual(
    endpoints.map(({ url, skipVerify, isMirror }) => [url.href, skipVerify, isMirror]),
    [["https://a.example/v2", true, false]],
  );
});

test("a mirror gets none of the registry's secrets: other credentials are asked for it", async () => {
  await using server = await FakeRegistry.open();
  await using mirror = await FakeRegistry.open();
  using directory = temporaryDirectory();
  mkdirSync(join(directory.path, "_default"));
  writeFileSync(join(directory.path, "_default/hosts.toml"), `[host."http://${mirror.host}"]`);
  mirror.intercept = (_request, response) =>
    response.writeHead(401, { "www-authenticate": 'Basic realm="m"' }).end().writableEnded;
  const target = server.addManifest("application/vnd.oci.image.manifest.v1+json", {}, "t");
  const asked: string[] = [];
  using registry = await Registry.open({
    reference: parseReference(`${server.host}/a/b:t`),
    hostDirectory: directory.path,
    headers: { "x-key": "geheim" },
    credentials: async ({ host }) => {
      asked.push(host);
      return host === server.host ? { kind: "password", username: "u", secret: "geheim" } : undefined;
    },
    signal: new AbortController().signal,
  });
  assert.deepEqual(await registry.resolve(), target);
  assert.deepEqual(asked, [mirror.host]);
  assert.ok(!JSON.stringify(mirror.seen).includes("geheim"));
});

test("without a file: https, but http for loopback, and Docker Hub's API has another name", async () => {
  const urls = async (host: string, scheme?: "http") => hrefs(await readEndpoints(host, undefined, scheme));
  assert.deepEqual(await urls("docker.io"), ["https://registry-1.docker.io/v2"]);
  assert.deepEqual(await urls("a.example:5000", "http"), ["http://a.example:5000/v2"]);
  for (const host of ["127.0.0.1:5000", "localhost", "[::1]:5000"]) {
    assert.deepEqual(await urls(host), [`http://${host}/v2`]);
  }
});

test("what is unknown or wrong is an error that names file and key", async () => {
  const cases: [string, RegExp][] = [
    ["servr = 1", /hosts\.toml: "servr" is unknown/],
    ['[host."x"]\noverride_path = true', /host\."x": "override_path" is unknown/],
    ['[host."x"]\ncapabilities = ["pul"]', /capabilities: "pul" is unknown/],
    ['[host."x"]\ncapabilities = 1', /not a list of strings/],
    ['[host."x"]\nskip_verify = "yes"', /skip_verify: not true or false/],
    ['[host."x"]\nca = "missing.pem"', /ca "\/none\/missing.pem": ENOENT/],
    ['[host."ftp://x"]', /not a URL of a registry/],
    ['[host."https://u:p@x"]', /not a URL of a registry/],
    ["host = 1", /host: not a table/],
    ["= broken", /hosts\.toml: /],
  ];
  for (const [text, message] of cases) {
    await assert.rejects(parseHostsToml(text, "/none/hosts.toml", "h"), { code: Code.InvalidArgument, message }, text);
  }
});

test("a mirror is told whose content is meant; what it lacks or fails at comes from the server", async () => {
  await using server = await FakeRegistry.open();
  await using mirror = await FakeRegistry.open();
  using directory = temporaryDirectory();
  mkdirSync(join(directory.path, "_default"));
  writeFileSync(join(directory.path, "_default/hosts.toml"), `[host."http://${mirror.host}"]`);
  const target = server.addManifest("application/vnd.oci.image.manifest.v1+json", {}, "t");
  const reference = parseReference(`${server.host}/a/b:t`);
  using registry = await Registry.open({
    reference,
    hostDirectory: directory.path,
    signal: new AbortController().signal,
    retry: { attempts: 1, backoffMs: 1 },
  });
  assert.deepEqual(await registry.resolve(), target);
  assert.equal(mirror.seen[0]?.path, `/v2/a/b/manifests/t?ns=${encodeURIComponent(server.host)}`);
  assert.equal(server.seen[0]?.path, "/v2/a/b/manifests/t");
  mirror.intercept = (_request, response) => response.destroy().destroyed;
  let bytes = Buffer.alloc(0);
  for await (const chunk of registry.fetch(target)) bytes = Buffer.concat([bytes, chunk]);
  assert.equal(digestOf(bytes), target.digest);
});
