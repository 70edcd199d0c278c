import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { digestOf } from "../content/digest.ts";
import { type CtrKind, DaemonWithCtr } from "../testing/daemon-with-ctr.ts";
import { DockerRegistry } from "../testing/docker-registry.ts";
import { FakeRegistry } from "../testing/fake-registry.ts";
import { makeTar } from "../testing/tar-fixture.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { hostPlatform } from "./platform.ts";
import { ImageFixture, named, OCI } from "./testing/image-fixture.ts";

const CLIENTS: readonly CtrKind[] = ["1.6", "2.x", "2.x --local"];
const HOST = { os: "linux", architecture: hostPlatform().architecture };
/** me:geheim */
const HTPASSWD = "me:$2y$05$abcdefghijklmnopqrstuuVWu8RjbNovPZWAMRdd7iqaaG0mI53Uu";
const daemon: { current?: DaemonWithCtr } = {};
const folder = temporaryDirectory();
const archives = { oci: join(folder.path, "oci.tar"), docker: join(folder.path, "docker.tar") };

const the = (): DaemonWithCtr => {
  if (daemon.current === undefined) throw new Error("no daemon");
  return daemon.current;
};

before(async () => {
  writeFileSync(archives.oci, ociArchive());
  writeFileSync(archives.docker, dockerArchive());
  daemon.current = await DaemonWithCtr.open();
});
after(async () => {
  await daemon.current?.[Symbol.asyncDispose]();
  folder[Symbol.dispose]();
});

/** An index of two platforms under one name, and an image under another. */
function ociArchive(): Buffer {
  const fixture = new ImageFixture();
  const other = { os: "linux", architecture: "s390x" };
  const own = { ...fixture.image(["one", "two", "three"], HOST), platform: HOST };
  const foreign = { ...fixture.image(["other"], other), platform: other };
  const single = fixture.image(["one", "solo"], HOST);
  return fixture.layout([named(fixture.index([foreign, own]), "reg.test/multi:1"), named(single, "reg.test/solo:1")]);
}

/** Two tags on one image; one layer plain, one gzip. */
function dockerArchive(): Buffer {
  const layers = ["a", "b"].map((content) => makeTar([{ name: `file-${content}`, content }]));
  const diffIds = layers.map((layer) => digestOf(layer));
  const config = JSON.stringify({ ...HOST, config: {}, rootfs: { type: "layers", diff_ids: diffIds } });
  const image = {
    Config: "config.json",
    RepoTags: ["twin:1", "reg.test/twin:2"],
    Layers: ["0/layer.tar", "1/layer.tar"],
  };
  return makeTar([
    { name: "0/layer.tar", content: layers[0] ?? "" },
    { name: "1/layer.tar", content: gzipSync(layers[1] ?? "") },
    { name: "config.json", content: config },
    { name: "manifest.json", content: JSON.stringify([image]) },
  ]);
}

/** Names with digests, and snapshots: what an import must come to. */
async function state(kind: CtrKind, namespace: string): Promise<string> {
  const images = await the().ok(kind, namespace, "images", "ls");
  const rows = images.split("\n").map((line) => line.split(/\s+/).slice(0, 3).join(" "));
  return [...rows, await the().ok(kind, namespace, "snapshots", "ls")].join("\n");
}

async function leavesNothing(kind: CtrKind, namespace: string): Promise<void> {
  assert.equal((await the().ok(kind, namespace, "leases", "ls", "-q")).trim(), "");
  assert.deepEqual(the().ingests(), []);
}

for (const form of ["oci", "docker"] as const) {
  test(`import of ${form} by each client comes to the same, also the second time`, async () => {
    const states = new Map<string, string>();
    for (const kind of CLIENTS) {
      const namespace = `${form}-${CLIENTS.indexOf(kind)}`;
      for (let times = 0; times < 2; times++) {
        await the().ok(kind, namespace, "images", "import", archives[form]);
        states.set(`${kind} ${times}`, await state(kind, namespace));
      }
      const check = (await the().ok(kind, namespace, "images", "check")).trim().split("\n").slice(1);
      assert.equal(check.length, 2);
      for (const line of check) assert.match(line, /complete \(\d\/\d\) .* true\s*$/);
      await leavesNothing(kind, namespace);
    }
    const [first = ""] = states.values();
    assert.match(first, form === "oci" ? /reg\.test\/multi:1 application.*index/ : /docker\.io\/library\/twin:1 /);
    for (const [what, each] of states) assert.equal(each, first, what);
  });
}

test("tag: twice is an error in 1.6, and none in 2.x", async () => {
  const tag = (kind: CtrKind) =>
    the().ctr(kind, "tag", "images", "tag", "reg.test/solo:1", `reg.test/t${CLIENTS.indexOf(kind)}:1`);
  await the().ok("1.6", "tag", "images", "import", archives.oci);
  for (const kind of ["1.6", "2.x"] as const) {
    assert.equal((await tag(kind)).code, 0);
    const again = await tag(kind);
    assert.equal(again.code, kind === "1.6" ? 1 : 0, again.stderr);
  }
  assert.match((await tag("1.6")).stderr, /already exists/);
});

test("50 exports by 2.x are 50 whole files, and come in elsewhere with the same digests", {
  timeout: 300_000,
}, async () => {
  await the().ok("2.x", "export", "images", "import", archives.oci);
  const file = join(folder.path, "export.tar");
  const digests = new Set<string>();
  for (let times = 0; times < 50; times++) {
    await the().ok("2.x", "export", "images", "export", file, "reg.test/multi:1", "reg.test/solo:1");
    digests.add(digestOf(readFileSync(file)));
  }
  assert.equal(digests.size, 1);
  for (const kind of CLIENTS) {
    const namespace = `back-${CLIENTS.indexOf(kind)}`;
    await the().ok(kind, namespace, "images", "import", file);
    assert.equal(await state(kind, namespace), await state(kind, "export"));
    await the().ok(kind, namespace, "images", "export", join(folder.path, "again.tar"), "reg.test/multi:1");
  }
  await leavesNothing("2.x", "export");
  const unknown = await the().ctr("2.x", "export", "images", "export", file, "reg.test/none:1");
  assert.match(unknown.stderr, /image "reg\.test\/none:1": not found/);
  await leavesNothing("2.x", "export");
});

test("push and pull through docker-registry with a password, by each client", async () => {
  using files = temporaryDirectory();
  await using registry = await DockerRegistry.open(files.path, { htpasswd: HTPASSWD });
  const user = ["--plain-http", "--user", "me:geheim"];
  for (const kind of CLIENTS) {
    const id = CLIENTS.indexOf(kind);
    const reference = `${registry.host}/lib/solo${id}:1`;
    await the().ok(kind, `push-${id}`, "images", "import", archives.oci);
    await the().ok(kind, `push-${id}`, "images", "push", ...user, reference, "reg.test/solo:1");
    await the().ok(kind, `pull-${id}`, "images", "pull", ...user, reference);
    const check = await the().ok(kind, `pull-${id}`, "images", "check");
    assert.match(check, /complete \(3\/3\) .* true\s*$/);
    const labels = await the().ok(kind, `pull-${id}`, "content", "ls");
    assert.ok(labels.includes(`containerd.io/distribution.source.127.0.0.1=lib/solo${id}`));
    const missing = await the().ctr(
      kind,
      `pull-${id}`,
      "images",
      "pull",
      ...user,
      `${registry.host}/lib/solo${id}:none`,
    );
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /not found/);
    const refused = await the().ctr(kind, `pull-${id}`, "images", "pull", "--plain-http", reference);
    assert.equal(refused.code, 1, "no password");
    await leavesNothing(kind, `pull-${id}`);
  }
});

test("a client that is killed in the middle of a pull leaves half a blob, which the next pull completes", {
  timeout: 60_000,
}, async () => {
  await using registry = await FakeRegistry.open();
  const fixture = new ImageFixture();
  const image = fixture.image([randomBytes(1_500_000).toString("hex")], HOST);
  const [layer = "", content = Buffer.alloc(0)] = [...fixture.blobs][0] ?? [];
  for (const [digest, bytes] of fixture.blobs) registry.blobs.set(digest, bytes);
  for (const name of ["1", image.digest]) {
    registry.manifests.set(name, { type: OCI.manifest, bytes: fixture.blobs.get(image.digest) ?? Buffer.alloc(0) });
  }
  registry.intercept = (request, response) => {
    if (!request.url?.endsWith(layer)) return false;
    response.writeHead(200, { "content-length": content.length });
    return response.write(content.subarray(0, 1_500_000)) || true; // and no more
  };
  const reference = `${registry.host}/lib/large:1`;
  const killed = new AbortController();
  const first = the().ctrUntil(killed.signal, "2.x", "resume", "images", "pull", "--plain-http", reference);
  let active = "";
  while (!/layer-sha256\S+\s+1\.049MB/.test(active)) active = await the().ok("2.x", "resume", "content", "active");
  killed.abort();
  assert.notEqual((await first).code, 0);
  registry.intercept = () => false;
  await the().ok("2.x", "resume", "images", "pull", "--plain-http", reference);
  assert.equal(registry.seen.find(({ headers }) => headers.range !== undefined)?.headers.range, "bytes=1048576-");
  assert.match(await the().ok("2.x", "resume", "images", "check"), /complete \(2\/2\) .* true\s*$/);
});

test("an import that breaks leaves no lease, no half blob and no image", async () => {
  const bytes = readFileSync(archives.oci);
  const cut = join(folder.path, "cut.tar");
  for (const [content, message] of [
    [bytes.subarray(0, 4000), /cut short/],
    [Buffer.from("nonsense".repeat(200)), /tar/],
    [makeTar([{ name: "index.json", content: JSON.stringify({ manifests: [{ mediaType: OCI.index }] }) }]), /digest/],
  ] as const) {
    writeFileSync(cut, content);
    const said = await the().ctr("2.x", "broken", "images", "import", cut);
    assert.equal(said.code, 1);
    assert.match(said.stderr, message);
  }
  assert.equal(await the().ok("2.x", "broken", "images", "ls", "-q"), "");
  await leavesNothing("2.x", "broken");
  assert.deepEqual(
    the().log.filter((line) => line.includes("level=error")),
    [],
  );
});
