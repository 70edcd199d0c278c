import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { digestOf } from "../content/digest.ts";
import { Code } from "../errors/manager-error.ts";
import { DockerRegistry } from "../testing/docker-registry.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import type { PushSource } from "./push.ts";
import { parseReference } from "./reference.ts";
import { Registry, type RegistryOptions } from "./registry.ts";

const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const LAYER = "application/vnd.oci.image.layer.v1.tar";
/** me:geheim */
const HTPASSWD = "me:$2y$05$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53Uu";

function open(host: string, repository: string, options: Partial<RegistryOptions> = {}): Promise<Registry> {
  const reference = parseReference(`${host}/${repository}:v1`);
  return Registry.open({ reference, signal: AbortSignal.timeout(60_000), ...options });
}

function source(bytes: Buffer, mediaType: string): PushSource {
  const read = async function* (offset: number, length: number) {
    for (let at = offset; at < offset + length; at += 65536) {
      yield bytes.subarray(at, Math.min(at + 65536, offset + length));
    }
  };
  return { mediaType, digest: digestOf(bytes), size: bytes.length, read };
}

async function roundTrip(registry: Registry): Promise<PushSource> {
  const layer = source(randomBytes(5 << 20), LAYER);
  const config = source(Buffer.from("{}"), "application/vnd.oci.image.config.v1+json");
  const descriptor = ({ mediaType, digest, size }: PushSource) => ({ mediaType, digest, size });
  const document = {
    schemaVersion: 2,
    mediaType: MANIFEST,
    config: descriptor(config),
    layers: [descriptor(layer)],
  };
  const manifest = source(Buffer.from(JSON.stringify(document)), MANIFEST);
  await assert.rejects(registry.resolve(), { code: Code.NotFound });
  for (const blob of [layer, config]) assert.equal(await registry.pushBlob(blob), "uploaded");
  assert.equal(await registry.pushBlob(layer), "exists");
  await registry.pushManifest(manifest, true);
  assert.deepEqual(await registry.resolve(), descriptor(manifest));
  for (const [blob, offset] of [
    [layer, 0],
    [layer, 1_234_567],
    [config, 0],
    [manifest, 0],
  ] as const) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of registry.fetch(blob, offset)) chunks.push(Buffer.from(chunk));
    const expected: Uint8Array[] = [];
    for await (const chunk of blob.read(offset, blob.size - offset)) expected.push(chunk);
    assert.equal(digestOf(Buffer.concat(chunks)), digestOf(Buffer.concat(expected)));
  }
  return layer;
}

test("docker-registry: push, resolve, fetch, mount", async () => {
  using folder = temporaryDirectory();
  await using server = await DockerRegistry.open(folder.path);
  using registry = await open(server.host, "a/b");
  const layer = await roundTrip(registry);
  using other = await open(server.host, "c/d");
  assert.equal(await other.pushBlob(layer, "a/b"), "mounted");
  assert.equal(await other.pushBlob(layer), "exists");
});

test("docker-registry with a password: right, wrong, none", async () => {
  using folder = temporaryDirectory();
  await using server = await DockerRegistry.open(folder.path, { htpasswd: HTPASSWD });
  const password = (secret: string) => async () => ({ kind: "password" as const, username: "me", secret });
  using registry = await open(server.host, "a/b", { credentials: password("geheim") });
  await roundTrip(registry);
  using wrong = await open(server.host, "a/b", { credentials: password("falsch") });
  await assert.rejects(wrong.resolve(), { code: Code.Unauthenticated });
  using nobody = await open(server.host, "a/b");
  await assert.rejects(nobody.resolve(), { code: Code.Unauthenticated, message: /wants a user name and a password/ });
});

test("docker-registry with TLS: by ca, by skip_verify, and not without", async () => {
  using folder = temporaryDirectory();
  const tls = { certificate: join(folder.path, "cert.pem"), key: join(folder.path, "key.pem") };
  const names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const files = ["-nodes", "-keyout", tls.key, "-out", tls.certificate];
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-days", "2", ...names, ...files], {
    stdio: "pipe",
  });
  await using server = await DockerRegistry.open(folder.path, { tls });
  const hostDirectory = join(folder.path, "hosts");
  const rules = join(hostDirectory, server.host);
  mkdirSync(rules, { recursive: true });
  writeFileSync(join(rules, "hosts.toml"), `[host."https://${server.host}"]\nca = "../../cert.pem"\n`);
  using byCa = await open(server.host, "a/b", { hostDirectory, scheme: "https" });
  await roundTrip(byCa);
  writeFileSync(join(rules, "hosts.toml"), `[host."https://${server.host}"]\nskip_verify = true\n`);
  using unchecked = await open(server.host, "a/c", { hostDirectory, scheme: "https" });
  await roundTrip(unchecked);
  using strict = await open(server.host, "a/b", { scheme: "https" });
  await assert.rejects(strict.resolve(), { code: Code.Unavailable, message: /self-signed certificate/ });
});
