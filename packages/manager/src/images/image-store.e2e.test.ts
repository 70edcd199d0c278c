import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { layout } from "../bundles/directories.ts";
import { makeTar } from "../testing/tar-fixture.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { ImageStore } from "./image-store.ts";

const sha256 = (bytes: Uint8Array | string) => createHash("sha256").update(bytes).digest("hex");
const lower = makeTar([
  { name: "a", content: "lower" },
  { name: "b", content: "lower" },
]);
const upper = makeTar([{ name: "a", content: "upper" }, { name: ".wh.b" }]);

function makeConfig(diffIds = [lower, upper].map((layer) => `sha256:${sha256(layer)}`)): string {
  const config = { Env: ["A=1"], Entrypoint: ["/e"], Cmd: null, WorkingDir: "/w", User: "bob" };
  return JSON.stringify({ config, rootfs: { type: "layers", diff_ids: diffIds } });
}

function dockerSave(config = makeConfig()): Buffer {
  return makeTar([
    { name: "l/1.tar", content: lower },
    { name: "l/2.tar", content: upper },
    { name: "c.json", content: config },
    { name: "manifest.json", content: JSON.stringify([{ Config: "c.json", Layers: ["l/1.tar", "l/2.tar"] }]) },
  ]);
}

function ociLayout(architecture: string): Buffer {
  const blobs: { name: string; content: string | Uint8Array }[] = [];
  const blob = (content: string | Uint8Array) => {
    const digest = sha256(content);
    blobs.push({ name: `blobs/sha256/${digest}`, content });
    return { digest: `sha256:${digest}` };
  };
  const layers = [lower, upper].map((layer) => blob(gzipSync(layer)));
  const manifest = blob(JSON.stringify({ config: blob(makeConfig()), layers }));
  const other = blob("{}");
  const manifests = [
    { ...other, platform: { os: "unknown", architecture: "unknown" } },
    { ...manifest, platform: { os: "linux", architecture } },
  ];
  return makeTar([...blobs, { name: "index.json", content: JSON.stringify({ manifests }) }]);
}

const host = process.arch === "x64" ? "amd64" : "arm64";

test("docker-save archives and OCI layouts give the same layers, unpacked once", async () => {
  using directory = temporaryDirectory();
  const dirs = { root: directory.path, state: directory.path };
  const store = new ImageStore(dirs);
  const results = [];
  for (const [name, bytes] of Object.entries({ "docker.tar": dockerSave(), "oci.tar": ociLayout(host) })) {
    writeFileSync(join(directory.path, name), bytes);
    results.push(await store.importArchive(join(directory.path, name)));
  }
  const [first, second] = results;
  assert.deepEqual(first, second);
  assert.deepEqual(first?.defaults, { env: ["A=1"], entrypoint: ["/e"], cmd: [], workingDir: "/w", user: "bob" });
  const [top = "", bottom = ""] = first?.layers ?? [];
  assert.deepEqual(
    [top, bottom].map((layer) => readFileSync(join(layer, "a"), "utf8")),
    ["upper", "lower"],
  );
  assert.equal(readdirSync(layout.layers(dirs)).length, 2);
});

test("an archive that is imported again has the same layers, unpacked again if they have gone", async () => {
  using directory = temporaryDirectory();
  const dirs = { root: directory.path, state: directory.path };
  const path = join(directory.path, "docker.tar");
  writeFileSync(path, dockerSave());
  const { layers } = await new ImageStore(dirs).importArchive(path);
  assert.deepEqual((await new ImageStore(dirs).importArchive(path)).layers, layers);
  rmSync(layout.layers(dirs), { recursive: true });
  await new ImageStore(dirs).importArchive(path);
  assert.equal(readdirSync(layout.layers(dirs)).length, 2);
});

test("wrong digests, hostile names and other machines' images are refused, and leave no layer", async () => {
  using directory = temporaryDirectory();
  const dirs = { root: directory.path, state: directory.path };
  const store = new ImageStore(dirs);
  const flipped = Buffer.from(ociLayout(host));
  flipped[flipped.indexOf('"layers"') + 1] = 0x4c;
  const wrong = `sha256:${"0".repeat(64)}`;
  const cases: [Buffer, RegExp][] = [
    [dockerSave(makeConfig([wrong, wrong])), /its content has digest/],
    [dockerSave(makeConfig(["sha256:../../../tmp/x", wrong])), /not a sha256/],
    [dockerSave(makeConfig([wrong])), /2 layers, but the config has 1/],
    [dockerSave("{}"), /rootfs: not an object/],
    [dockerSave("nonsense"), /not JSON/],
    [ociLayout("s390x"), /no image for linux/],
    [flipped, /its digest is/],
    [makeTar([{ name: "x" }]), /neither index.json/],
    [Buffer.from("not a tar"), /cut short/],
    [makeTar([{ name: "index.json", content: '{"manifests":[{"digest":"sha256:../x"}]}' }]), /not a sha256/],
  ];
  for (const [index, [bytes, message]] of cases.entries()) {
    const path = join(directory.path, `${index}.tar`);
    writeFileSync(path, bytes);
    await assert.rejects(store.importArchive(path), message);
  }
  assert.deepEqual(readdirSync(directory.path).includes("layers") ? readdirSync(layout.layers(dirs)) : [], []);
});
