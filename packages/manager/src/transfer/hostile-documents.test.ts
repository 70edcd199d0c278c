import assert from "node:assert/strict";
import { test } from "node:test";
import { digestOf } from "../content/digest.ts";
import { Code, StatusError } from "../errors/manager-error.ts";
import { randomNumbers } from "../testing/random.ts";
import { makeTar } from "../testing/tar-fixture.ts";
import { importArchive } from "./import-archive.ts";
import { FakeServices } from "./testing/fake-services.ts";
import { ImageFixture, OCI } from "./testing/image-fixture.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
type Random = (limit: number) => number;

const EXPECTED: readonly Code[] = [
  Code.InvalidArgument,
  Code.NotFound,
  Code.FailedPrecondition,
  Code.DataLoss,
  Code.ResourceExhausted,
];
const VALUES: readonly Json[] = [
  null,
  true,
  0,
  -1,
  1.5,
  1e300,
  2 ** 53,
  "",
  "x",
  "\0",
  "../../etc/passwd",
  `sha256:${"0".repeat(64)}`,
  OCI.index,
  OCI.manifest,
  [],
  {},
  [[]],
  { __proto__: null, constructor: "x" },
  "a".repeat(5000),
];

const pick = <T>(random: Random, items: readonly T[]): T => items[random(items.length)] as T;

/** The same document with one place of it replaced, removed or doubled. */
function mutate(value: Json, random: Random): Json {
  if (value === null || typeof value !== "object" || random(100) < 15) return pick(random, VALUES);
  if (Array.isArray(value)) {
    if (value.length === 0) return [pick(random, VALUES)];
    const at = random(value.length);
    if (random(100) < 20) return [...value, value[at] ?? null];
    return value.map((item, index) => (index === at ? mutate(item, random) : item));
  }
  const keys = Object.keys(value);
  const key = pick(random, [...keys, "manifests", "layers", "config", "mediaType", "__proto__"]);
  if (random(100) < 20) return Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
  return { ...value, [key]: mutate(value[key] ?? null, random) };
}

/** An archive in which one document is not as it should be; digests and sizes are right, so that it is looked at. */
function ociArchive(random: Random, victim = pick(random, ["config", "manifest", "index", "layout"])): Buffer {
  const broken = (name: string, document: Json) => (name === victim ? mutate(document, random) : document);
  const fixture = new ImageFixture();
  const tar = makeTar([{ name: "file", content: "x" }]);
  const layers = [{ ...fixture.blob(OCI.layer, tar) }];
  const platform = { os: "linux", architecture: "amd64" };
  const config = fixture.document(OCI.config, broken("config", { ...platform, rootfs: { diff_ids: [digestOf(tar)] } }));
  const manifest: Json = { schemaVersion: 2, mediaType: OCI.manifest, config: { ...config }, layers };
  const image = fixture.document(OCI.manifest, broken("manifest", manifest as Json));
  const index = fixture.document(OCI.index, broken("index", { manifests: [{ ...image, platform }] } as Json));
  const annotations = { "io.containerd.image.name": "a:1" };
  const layout = broken("layout", [{ ...index, annotations }] as Json);
  return fixture.layout(layout as unknown as Parameters<ImageFixture["layout"]>[0]);
}

function dockerArchive(random: Random): Buffer {
  const layer = makeTar([{ name: "file", content: "x" }]);
  const config: Json = { os: "linux", architecture: "amd64", rootfs: { diff_ids: [digestOf(layer)] } };
  const manifest: Json = [{ Config: "c.json", RepoTags: ["a:1"], Layers: ["l.tar"] }];
  const first = random(100) < 70;
  return makeTar([
    { name: "l.tar", content: layer },
    { name: "c.json", content: JSON.stringify(first ? config : mutate(config, random)) },
    { name: "manifest.json", content: JSON.stringify(first ? mutate(manifest, random) : manifest) },
  ]);
}

async function load(fake: FakeServices, tar: Buffer): Promise<unknown> {
  const archive = (async function* () {
    yield tar;
  })();
  const prefixes = [{ name: "p", allowAnyName: true, addDigest: true, skipNamedDigest: false }];
  const platform = { os: "linux", architecture: "amd64", variant: "", osVersion: "" };
  const unpacks = [{ platform, snapshotter: "overlayfs" }];
  const rest = { indexName: "all", prefixes, labels: {}, platforms: [], unpacks, forceCompress: false };
  return importArchive(fake.context(), { archive, ...rest }).catch((error: unknown) => error);
}

test("documents that somebody has tampered with give an error that says so, or an image that is whole", async () => {
  const outcomes = new Map<number, number>();
  for (let seed = 1; seed <= 500; seed++) {
    const random = randomNumbers(seed);
    const fake = new FakeServices();
    const outcome = await load(fake, seed % 3 === 0 ? dockerArchive(random) : ociArchive(random));
    const code = outcome instanceof StatusError ? outcome.code : 0;
    outcomes.set(code, (outcomes.get(code) ?? 0) + 1);
    if (code === 0) {
      assert.ok(Array.isArray(outcome), `seed ${seed}: ${outcome}`);
      for (const { target } of fake.images.values()) assert.ok(fake.blobs.has(target?.digest ?? ""), `seed ${seed}`);
    } else {
      assert.ok(
        EXPECTED.some((each) => each === code),
        `seed ${seed}: ${outcome}`,
      );
    }
    assert.equal(fake.ingests.size, 0, `seed ${seed}`);
    assert.ok(
      [...fake.snapshots.values()].every(({ isCommitted }) => isCommitted),
      `seed ${seed}`,
    );
  }
  assert.ok((outcomes.get(0) ?? 0) > 30 && (outcomes.get(Code.InvalidArgument) ?? 0) > 100, "both happen");
});

test("archives with flipped bytes", async () => {
  const random = randomNumbers(7);
  const tar = ociArchive(random, "none");
  for (let times = 0; times < 300; times++) {
    const bytes = Buffer.from(tar);
    for (let flips = 0; flips < 3; flips++) bytes[random(6000)] = random(256);
    const outcome = await load(new FakeServices(), bytes);
    const isFine = Array.isArray(outcome) || (outcome instanceof StatusError && EXPECTED.includes(outcome.code));
    assert.ok(isFine, String(outcome));
  }
});
