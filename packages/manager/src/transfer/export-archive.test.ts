import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Code } from "../errors/manager-error.ts";
import { exportArchive } from "./export-archive.ts";
import { importArchive } from "./import-archive.ts";
import type { Platform } from "./platform.ts";
import type { NamedImage } from "./store-image.ts";
import { tarHeader } from "./tar-writer.ts";
import { FakeServices } from "./testing/fake-services.ts";
import { ImageFixture, named } from "./testing/image-fixture.ts";

const AMD64: Platform = { os: "linux", architecture: "amd64", variant: "", osVersion: "" };
const PREFIX = { name: "import", allowAnyName: true, addDigest: false, skipNamedDigest: false };
const OPTIONS = { platforms: [AMD64], skipDockerManifest: false, skipNonDistributable: false };

async function read(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}

async function load(fake: FakeServices, tar: Buffer): Promise<NamedImage[]> {
  const archive = (async function* () {
    yield tar;
  })();
  const rest = { indexName: "", prefixes: [PREFIX], labels: {}, platforms: [], unpacks: [], forceCompress: false };
  return importArchive(fake.context(), { archive, ...rest });
}

test("what was exported comes in elsewhere with the same digests, and twice exported is the same bytes", async () => {
  const fixture = new ImageFixture();
  const own = { ...fixture.image(["one", "two"]), platform: { os: "linux", architecture: "amd64" } };
  const s390x = { os: "linux", architecture: "s390x" };
  const other = { ...fixture.image(["y"], s390x), platform: s390x };
  const index = named(fixture.index([own, other]), "docker.io/library/multi:1");
  const single = named(fixture.image(["solo"]), "reg.example/solo:2");
  const fake = new FakeServices();
  const images = await load(fake, fixture.layout([index, single]));
  const tar = await read(exportArchive(fake.context(), { ...OPTIONS, images }));
  assert.deepEqual(tar, await read(exportArchive(fake.context(), { ...OPTIONS, images })));

  const folder = mkdtempSync(join(tmpdir(), "trimaran-export-"));
  try {
    writeFileSync(join(folder, "a.tar"), tar);
    execFileSync("tar", ["-xf", "a.tar"], { cwd: folder }); // somebody else's idea of tar
    const manifest: unknown = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
    assert.deepEqual(
      (manifest as { RepoTags: string[] }[]).map(({ RepoTags }) => RepoTags),
      [["multi:1"], ["reg.example/solo:2"]],
    );
  } finally {
    rmSync(folder, { recursive: true });
  }

  const elsewhere = new FakeServices();
  assert.deepEqual(
    (await load(elsewhere, tar)).map(({ name, target }) => [name, target.digest]),
    images.map(({ name, target }) => [name, target.digest]),
  );
  assert.ok(
    fake.blobs.has(other.digest) && !elsewhere.blobs.has(other.digest),
    "another platform's manifest stays here",
  );

  const all = await read(exportArchive(fake.context(), { ...OPTIONS, images, platforms: [] }));
  const complete = new FakeServices();
  await load(complete, all);
  assert.ok(complete.blobs.has(other.digest));
  const plain = await read(exportArchive(fake.context(), { ...OPTIONS, images, skipDockerManifest: true }));
  assert.ok(!plain.includes("manifest.json"));
});

test("what is missing is found before the first byte", async () => {
  const fixture = new ImageFixture();
  const fake = new FakeServices();
  const images = await load(fake, fixture.layout([named(fixture.image(["one"]), "a:1")]));
  const riscv = { ...AMD64, architecture: "riscv64" };
  const first = (request: typeof OPTIONS) => exportArchive(fake.context(), { ...request, images }).next();
  await assert.rejects(first({ ...OPTIONS, platforms: [riscv] }), { code: Code.NotFound, message: /linux\/riscv64/ });
  fake.blobs.delete([...fixture.blobs.keys()][0] ?? "");
  await assert.rejects(first(OPTIONS), { code: Code.NotFound, message: /layer sha256/ });
});

test("a blob of 8 GiB and more has a size in base 256", () => {
  const header = tarHeader("blobs/sha256/x", "file", 2 ** 33);
  assert.equal(header[124], 0x80);
  assert.equal(header.readBigUInt64BE(128), 2n ** 33n);
});
