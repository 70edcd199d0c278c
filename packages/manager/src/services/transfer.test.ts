import assert from "node:assert/strict";
import { test } from "node:test";
import { ANY, anyTypeName, containerd, type google, packAny, streamingV1, transferV1 } from "@trimaran/proto";
import { Code } from "../errors/manager-error.ts";
import { inProcessClient } from "../grpc/in-process.ts";
import type { CallOptions } from "../grpc/service-client.ts";
import { AsyncQueue } from "../host/async-queue.ts";
import { FakeRegistry } from "../testing/fake-registry.ts";
import { FakeServices } from "../transfer/testing/fake-services.ts";
import { ImageFixture, named, OCI } from "../transfer/testing/image-fixture.ts";
import { StreamRegistry } from "./stream-registry.ts";
import { streamingService } from "./streaming.ts";
import { transferService } from "./transfer.ts";

type Any = google.protobuf.Any;
const {
  Data,
  WindowUpdate,
  Progress,
  AuthRequest,
  AuthResponse,
  ImageStore,
  ImageImportStream,
  ImageExportStream,
  OCIRegistry,
} = containerd.types.transfer;
const TYPE = "containerd.types.transfer.";
const any = (name: string, value: Uint8Array) => packAny(TYPE + name, value);

/** Streaming and Transfer over fake stores, as their client sees them. */
class World {
  readonly fake = new FakeServices();
  readonly streams = new StreamRegistry();
  readonly #streaming = inProcessClient(streamingV1, streamingService(this.streams), "test");
  readonly #transfer = inProcessClient(
    transferV1,
    transferService({
      services: (namespace) => this.fake.services(namespace),
      streams: this.streams,
      registry: { stallMs: 500, retry: { attempts: 1, backoffMs: 1 } },
    }),
    "test",
  );

  /** Open a stream; what it sends is read from `answers`. */
  async open(
    id: string,
    options: CallOptions = {},
  ): Promise<{ requests: AsyncQueue<Any>; answers: AsyncIterator<Any> }> {
    const requests = new AsyncQueue<Any>();
    requests.push(packAny(ANY.streamInit, containerd.services.streaming.v1.StreamInit.encode({ id })));
    const answers = this.#streaming.stream(requests, options)[Symbol.asyncIterator]();
    assert.equal(anyTypeName((await answers.next()).value as Any), ANY.empty);
    return { requests, answers };
  }

  async transfer(source: Any, destination: Any, progressStream = "", options: CallOptions = {}): Promise<void> {
    await this.#transfer.transfer({ source, destination, options: { progressStream } }, options);
  }
}

/** Send a file as ctr does: 32 KiB at a time, within the window. */
async function upload(world: World, id: string, bytes: Buffer): Promise<void> {
  const { requests, answers } = await world.open(id);
  void (async () => {
    let window = 0;
    for (let at = 0; at < bytes.length; ) {
      while (window <= 0) {
        const next = await answers.next();
        if (next.done === true) return;
        window += WindowUpdate.decode(next.value.value).update;
      }
      const data = bytes.subarray(at, at + Math.min(32768, window));
      requests.push(any("Data", Data.encode({ data })));
      at += data.length;
      window -= data.length;
    }
    requests.end();
  })();
}

/** Receive a file as ctr does: a grant of 64 KiB whenever there is less left. */
async function download(world: World, id: string): Promise<{ bytes: () => Buffer; done: Promise<void> }> {
  const { requests, answers } = await world.open(id);
  const chunks: Buffer[] = [];
  const done = (async () => {
    let window = 0;
    for (;;) {
      if (window < 65536) {
        requests.push(any("WindowUpdate", WindowUpdate.encode({ update: 65536 })));
        window += 65536;
      }
      const next = await answers.next();
      if (next.done === true) return;
      const { data } = Data.decode(next.value.value);
      assert.ok(data.length <= 32768 && data.length <= window, "never more than the credit");
      window -= data.length;
      chunks.push(Buffer.from(data));
    }
  })();
  return { bytes: () => Buffer.concat(chunks), done };
}

const importTo = (world: World, id: string, store: Parameters<typeof ImageStore.encode>[0] = {}) =>
  world.transfer(
    any("ImageImportStream", ImageImportStream.encode({ stream: id })),
    any("ImageStore", ImageStore.encode(store)),
  );
const PREFIX = [{ name: "import", isPrefix: true, allowOverwrite: true }];

function archive(layerBytes = 300_000): Buffer {
  const fixture = new ImageFixture();
  const image = named(fixture.image(["x".repeat(layerBytes), "two"]), "reg.example/a:1");
  return fixture.layout([image]);
}

test("an import through a stream: windows, names, unpacking, progress, a lease of its own", async () => {
  const world = new World();
  const { answers } = await world.open("progress-1");
  const events: string[] = [];
  const watched = (async () => {
    for (let next = await answers.next(); next.done !== true; next = await answers.next()) {
      events.push(Progress.decode(next.value.value).event);
    }
  })();
  await upload(world, "import-1", archive(3_000_000));
  await world.transfer(
    any("ImageImportStream", ImageImportStream.encode({ stream: "import-1" })),
    any("ImageStore", ImageStore.encode({ extraReferences: PREFIX, unpacks: [{}], labels: { a: "b" } })),
    "progress-1",
  );
  await watched;
  assert.deepEqual([...world.fake.images.keys()], ["reg.example/a:1"]);
  assert.deepEqual(world.fake.images.get("reg.example/a:1")?.labels, { a: "b" });
  assert.equal(world.fake.applied.length, 2);
  assert.deepEqual([events[0], events.at(-1)], ["Importing", "Completed import"]);
  assert.ok(events.includes("saved"));
  assert.equal(world.fake.ownLeases.size, 0);
  assert.deepEqual([...world.fake.leases], ["lease-0"]);
});

test("an import under the caller's lease makes none", async () => {
  const world = new World();
  await upload(world, "import-1", archive());
  const source = any("ImageImportStream", ImageImportStream.encode({ stream: "import-1" }));
  await world.transfer(source, any("ImageStore", ImageStore.encode({ extraReferences: PREFIX })), "", {
    lease: "mine",
  });
  assert.deepEqual([...world.fake.leases], ["mine"]);
});

test("an export is whole when Transfer answers, also with a slow reader, and its end is zeros", async () => {
  for (const size of [0, 32768 - 700, 40_000, 300_000]) {
    const world = new World();
    await upload(world, "import-1", archive(size));
    await importTo(world, "import-1", { extraReferences: PREFIX });
    const file = await download(world, "export-1");
    const begin = performance.now();
    await world.transfer(
      any("ImageStore", ImageStore.encode({ extraReferences: [{ name: "reg.example/a:1" }] })),
      any("ImageExportStream", ImageExportStream.encode({ stream: "export-1", allPlatforms: true })),
    );
    assert.ok(performance.now() - begin < 4000, "the grant was seen");
    const bytes = file.bytes();
    assert.equal((bytes.length / 32768) % 2, 1);
    assert.ok(bytes.subarray(-32768).every((byte) => byte === 0));
    await file.done;
    const again = new World();
    await upload(again, "import-2", bytes);
    await importTo(again, "import-2", { extraReferences: PREFIX });
    assert.deepEqual(
      [...again.fake.images.values()].map(({ target }) => target?.digest),
      [...world.fake.images.values()].map(({ target }) => target?.digest),
    );
  }
});

test("a client that breaks the rules of streams is told so, and leaves nothing", async () => {
  const world = new World();
  const { requests, answers } = await world.open("import-1");
  const granted = (async () => {
    for (let next = await answers.next(); next.done !== true; ) next = await answers.next();
  })();
  requests.push(any("Data", Data.encode({ data: Buffer.alloc((1 << 20) + 1) })));
  await assert.rejects(importTo(world, "import-1"), {
    code: Code.InvalidArgument,
    message: /more bytes than the window/,
  });
  await granted;
  const wrong = await world.open("import-2");
  void (async () => {
    for (let next = await wrong.answers.next(); next.done !== true; ) next = await wrong.answers.next();
  })();
  wrong.requests.push(any("Progress", new Uint8Array(0)));
  await assert.rejects(importTo(world, "import-2"), {
    message: /"containerd.types.transfer.Progress" was not expected/,
  });
  await assert.rejects(importTo(world, "import-9"), { code: Code.NotFound, message: /stream "import-9"/ });
  const twice = await world.open("twice");
  await assert.rejects(world.open("twice"), { code: Code.AlreadyExists });
  await twice.answers.return?.();
  await new Promise(setImmediate);
  await world.open("twice");
  assert.equal(world.fake.ownLeases.size, 0);
  assert.equal(world.fake.ingests.size, 0);
});

test("a client that goes in the middle of an export ends it", async () => {
  const world = new World();
  await upload(world, "import-1", archive());
  await importTo(world, "import-1", { extraReferences: PREFIX });
  const { requests } = await world.open("export-1");
  const failed = assert.rejects(
    world.transfer(
      any("ImageStore", ImageStore.encode({ name: "reg.example/a:1" })),
      any("ImageExportStream", ImageExportStream.encode({ stream: "export-1", allPlatforms: true })),
    ),
    { code: Code.Canceled },
  );
  requests.push(any("WindowUpdate", WindowUpdate.encode({ update: 65536 })));
  requests.end();
  await failed;
});

test("streams die with their lease", async () => {
  const world = new World();
  const one = await world.open("a", { lease: "l" });
  const other = await world.open("b", { lease: "m" });
  world.streams.closeLease("test", "l");
  await assert.rejects(async () => one.answers.next(), { code: Code.NotFound });
  assert.ok(world.streams.get("test", "b").isOpen);
  await other.answers.return?.();
});

test("tag: the new name has the old target, again and again", async () => {
  const world = new World();
  await upload(world, "import-1", archive());
  await importTo(world, "import-1", { extraReferences: PREFIX });
  const store = (name: string) => any("ImageStore", ImageStore.encode({ name }));
  for (let times = 0; times < 2; times++) await world.transfer(store("reg.example/a:1"), store("b:2"));
  assert.equal(world.fake.images.get("b:2")?.target?.digest, world.fake.images.get("reg.example/a:1")?.target?.digest);
  await assert.rejects(world.transfer(store("none"), store("c")), { code: Code.NotFound });
  await assert.rejects(world.transfer(store("b:2"), store("")), { code: Code.InvalidArgument });
});

test("pull and push ask the client for credentials, after a 401 only", async () => {
  await using server = await FakeRegistry.open();
  const fixture = new ImageFixture();
  const image = fixture.image(["one"]);
  for (const [digest, bytes] of fixture.blobs) server.blobs.set(digest, bytes);
  server.manifests.set("t", { type: OCI.manifest, bytes: fixture.blobs.get(image.digest) ?? Buffer.alloc(0) });
  server.manifests.set(image.digest, { type: OCI.manifest, bytes: fixture.blobs.get(image.digest) ?? Buffer.alloc(0) });
  server.intercept = (request, response) => {
    if (request.headers.authorization === `Basic ${Buffer.from("me:geheim").toString("base64")}`) return false;
    return response.writeHead(401, { "www-authenticate": 'Basic realm="r"' }).end().writableEnded;
  };
  const world = new World();
  const { requests, answers } = await world.open("creds-1");
  const asked = (async () => {
    const { value } = await answers.next();
    requests.push(any("AuthResponse", AuthResponse.encode({ authType: 1, username: "me", secret: "geheim" })));
    return AuthRequest.decode((value as Any).value);
  })();
  const reference = `${server.host}/a/b:t`;
  const registry = (authStream: string) =>
    any("OCIRegistry", OCIRegistry.encode({ reference, resolver: { authStream, defaultScheme: "http" } }));
  const store = any("ImageStore", ImageStore.encode({ name: reference, allMetadata: true }));
  await world.transfer(registry("creds-1"), store);
  assert.deepEqual(await asked, { host: server.host, reference, wwwauthenticate: ['Basic realm="r"'] });
  assert.equal(world.fake.images.get(reference)?.target?.digest, image.digest);
  await assert.rejects(world.transfer(registry(""), store), { code: Code.Unauthenticated });
  server.intercept = () => false;
  server.blobs.clear();
  server.manifests.clear();
  await world.transfer(store, registry(""));
  assert.equal(server.blobs.size, 2);
  assert.ok(server.manifests.has("t"));
});

test("what cannot be transferred is Unimplemented or InvalidArgument", async () => {
  const world = new World();
  const store = any("ImageStore", ImageStore.encode({ name: "a" }));
  const archiveEnd = any("ImageImportStream", ImageImportStream.encode({ stream: "x" }));
  await assert.rejects(world.transfer(store, archiveEnd), {
    code: Code.Unimplemented,
    message: /from store to import/,
  });
  await assert.rejects(world.transfer(store, any("Other", new Uint8Array(0))), { code: Code.Unimplemented });
  const registry = any("OCIRegistry", OCIRegistry.encode({ reference: "h.x/a:b", resolver: { defaultScheme: "ftp" } }));
  await assert.rejects(world.transfer(registry, store), { code: Code.InvalidArgument, message: /"ftp"/ });
});
