import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { textLogger } from "../daemon/index.ts";
import { openDaemon } from "../daemon/open-daemon.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";
import { connectServices } from "../grpc/grpc-client.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { testContainer } from "../testing/test-records.ts";
import { Database } from "./database.ts";
import { NamespaceRecords } from "./namespaces.ts";

const MIB = 1 << 20;

/** A mount on a new directory, until it is disposed. */
function mount(target: string, args: readonly string[]): Disposable {
  mkdirSync(target);
  execFileSync("mount", [...args, target]);
  return { [Symbol.dispose]: () => unmount(target) };
}

/** A loop device lets its file go a moment after its own unmount. */
function unmount(target: string): void {
  for (let tries = 1; ; tries++) {
    const { status, stderr } = spawnSync("umount", [target], { encoding: "utf8" });
    if (status === 0) return;
    assert.ok(tries < 100 && stderr.includes("busy"), stderr);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
  }
}

/** The kernel may tell of what it could not write before, once more, when the disk can take all again. */
function createWhenItCan(database: Database, name: string): void {
  for (let tries = 1; ; tries++)
    try {
      new NamespaceRecords(database).create({ name, labels: LABELS });
      return;
    } catch (error) {
      if (tries === 5 || !(error instanceof ManagerError) || error.code !== Code.Unavailable) throw error;
    }
}

/** Take all the space that is left, to the last block; disposing gives it back. */
function fill(folder: string): Disposable {
  const path = join(folder, "filler");
  for (let size = MIB; size >= 512; ) {
    try {
      writeFileSync(path, Buffer.alloc(size), { flag: "a" });
    } catch {
      size /= 2;
    }
  }
  assert.equal(statfsSync(folder).bavail, 0);
  return { [Symbol.dispose]: () => rmSync(path) };
}

const names = (database: Database) => new NamespaceRecords(database).list().map(({ name }) => name);
const LABELS = { filler: "x".repeat(4000) };

/** Write until it fails: the error, and how many were acknowledged. */
function writeUntilFull(database: Database, first: number): { readonly error: unknown; readonly next: number } {
  const records = new NamespaceRecords(database);
  for (let next = first; ; next++) {
    try {
      records.create({ name: `n${next}`, labels: LABELS });
    } catch (error) {
      return { error, next };
    }
  }
}

test("a full disk is ResourceExhausted with the database's name; reading goes on, and writing when there is space", () => {
  using directory = temporaryDirectory();
  const mounted = join(directory.path, "small");
  using _mounted = mount(mounted, ["-t", "tmpfs", "-o", "size=2m", "tmpfs"]);
  const path = join(mounted, "db", "meta.db");
  let written = 0;
  {
    using database = Database.open(path);
    {
      using _full = fill(mounted);
      const { error, next } = writeUntilFull(database, 0);
      assert.ok(error instanceof ManagerError);
      assert.equal(error.code, Code.ResourceExhausted);
      assert.match(error.message, new RegExp(`^${path}: `));
      assert.equal(names(database).length, next);
      const both = () =>
        database.transaction(() => {
          new NamespaceRecords(database).create({ name: "one", labels: {} });
          new NamespaceRecords(database).create({ name: "two", labels: { l: "x".repeat(100_000) } });
        });
      assert.throws(both, { code: Code.ResourceExhausted });
      assert.equal(names(database).length, next);
      written = next;
    }
    new NamespaceRecords(database).create({ name: "again", labels: LABELS });
  }
  using database = Database.open(path);
  assert.equal(names(database).length, written + 1);
});

test("a disk that fails to take what is written is Unavailable, and what was acknowledged is there", () => {
  using directory = temporaryDirectory();
  // A file system that promises more than the disk below it has: writing succeeds, reaching the disk does not.
  const [backing, mounted] = [join(directory.path, "backing"), join(directory.path, "big")];
  using _backing = mount(backing, ["-t", "tmpfs", "-o", "size=3m", "tmpfs"]);
  const image = join(backing, "image");
  execFileSync("truncate", ["-s", "64m", image]);
  execFileSync("mkfs.ext4", ["-q", "-O", "^has_journal", image]);
  using _mounted = mount(mounted, ["-o", "loop", image]);
  const path = join(mounted, "meta.db");
  using database = Database.open(path);
  const { error, next } = writeUntilFull(database, 0);
  assert.ok(error instanceof ManagerError);
  assert.ok(error.code === Code.Unavailable || error.code === Code.ResourceExhausted, `${error.code}`);
  assert.match(error.message, new RegExp(`^${path}: `));
  assert.equal(names(database).length, next);
  execFileSync("mount", ["-o", "remount,size=64m", backing]);
  createWhenItCan(database, "again");
  assert.equal(names(database).length, next + 1);
});

test("a database that cannot be made for lack of space says so", () => {
  using directory = temporaryDirectory();
  const mounted = join(directory.path, "small");
  using _mounted = mount(mounted, ["-t", "tmpfs", "-o", "size=1m", "tmpfs"]);
  {
    using _full = fill(mounted);
    assert.throws(() => Database.open(join(mounted, "meta.db")), { code: Code.ResourceExhausted });
  }
  Database.open(join(mounted, "meta.db"))[Symbol.dispose]();
});

test("a daemon on a full disk: every write is refused whole, it lives, and goes on when there is space", async () => {
  using directory = temporaryDirectory();
  const root = join(directory.path, "root");
  using _mounted = mount(root, ["-t", "tmpfs", "-o", "size=4m", "tmpfs"]);
  const address = join(directory.path, "c.sock");
  const log: string[] = [];
  const options = {
    ...{ directories: { root, state: join(directory.path, "state") }, address, shimDirectories: [], environment: {} },
    ...{ publishBinary: "/bin/false", debug: false, version: "test" },
    log: textLogger((line) => log.push(line), false),
  };
  await using _daemon = await openDaemon(options);
  using services = connectServices(address, "ns");
  const { containers, content, events, images, leases, namespaces, sandboxStore, snapshots } = services;
  const told: string[] = [];
  const stop = new AbortController();
  const listening = (async () => {
    for await (const { topic } of events.subscribe({}, { signal: stop.signal })) told.push(topic);
  })().catch(() => {});
  await namespaces.create({ namespace: { name: "ns" } });
  const container = (id: string) => testContainer(id, { labels: LABELS });
  const refused = { code: Code.ResourceExhausted, message: new RegExp(`${root}/io\\.containerd\\.metadata`) };
  let acknowledged = 0;
  {
    using _full = fill(root);
    const add = async () => {
      for (; ; acknowledged++) await containers.create({ container: container(`c${acknowledged}`) });
    };
    await assert.rejects(add(), refused);
    const target = { mediaType: "m", digest: `sha256:${"a".repeat(64)}`, size: 1n };
    await assert.rejects(images.create({ image: { name: "i", labels: LABELS, target } }), refused);
    await assert.rejects(leases.create({ id: "l", labels: LABELS }), refused);
    await assert.rejects(sandboxStore.create({ sandbox: { sandboxId: "s", labels: LABELS } }), refused);
    await assert.rejects(snapshots.prepare({ snapshotter: "overlayfs", key: "k", labels: LABELS }), {
      code: Code.ResourceExhausted,
    });
    assert.equal((await containers.list({})).containers.length, acknowledged);
    assert.deepEqual((await images.list({})).images, []);
    assert.deepEqual((await leases.list({})).leases, []);
  }
  await containers.create({ container: container("last") });
  assert.equal((await containers.list({})).containers.length, acknowledged + 1);
  await snapshots.prepare({ snapshotter: "overlayfs", key: "k", labels: { "containerd.io/gc.root": "1" } });
  const info: string[] = [];
  for await (const { info: found } of snapshots.list({ snapshotter: "overlayfs" }))
    info.push(...found.map((each) => each.name));
  assert.deepEqual(info, ["k"]);
  await leases.create({ id: "gc" });
  await leases.delete({ id: "gc", sync: true }); // what the failed one has left
  assert.equal(readdirSync(join(root, "io.containerd.snapshotter.v1.overlayfs/snapshots")).length, 1);
  for await (const { info: blobs } of content.list({})) assert.deepEqual(blobs, []);
  stop.abort();
  await listening;
  assert.equal(told.filter((topic) => topic === "/containers/create").length, acknowledged + 1);
  assert.deepEqual(
    told.filter((topic) => !["/containers/create", "/namespaces/create", "/snapshot/prepare"].includes(topic)),
    [],
  );
  assert.deepEqual(
    log.filter((line) => line.includes("internal error")),
    [],
  );
});
