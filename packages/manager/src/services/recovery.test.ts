import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { taskV2 } from "@trimaran/proto";
import { listenUnix, Server, StatusError } from "ttrpc-ts";
import { bundleAt, createBundle, writeBootstrap } from "../bundles/bundle.ts";
import { parseIdentifier } from "../bundles/identifier.ts";
import { loadSyscalls } from "../host/syscalls.ts";
import { type Manager, openManager } from "../manager.ts";
import { writeFakeShim } from "../testing/fake-shim.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { listContainers } from "./container-list.ts";

const DIED_WITH_9 = "printf '\\010\\007\\020\\211\\001\\032\\002\\010\\005'"; // pid 7, status 137, at second 5

/** A manager with one container, whose bundle says that a shim listens at `address`. */
async function managerWithTask(directory: string, address: string): Promise<{ manager: Manager; bundlePath: string }> {
  const binary = writeFakeShim(directory, { delete: `echo deleted >> ${directory}/log; ${DIED_WITH_9}` });
  const rootfs = join(directory, "rootfs");
  mkdirSync(rootfs);
  const directories = { root: join(directory, "root"), state: join(directory, "state") };
  const manager = openManager({ directories, shimDirectories: [directory], environment: process.env });
  await manager.containers.create({ id: "web", runtime: "a.fake.v1", image: rootfs, args: ["x"], options: {} });
  const bundle = bundleAt(directories, parseIdentifier("namespace", "default"), parseIdentifier("id", "web"));
  await createBundle(bundle, "{}", loadSyscalls());
  await writeBootstrap(bundle, { version: 2, address: `unix://${address}`, protocol: "ttrpc" }, binary);
  return { manager, bundlePath: bundle.path };
}

test("a shim that lives is found again by its bundle", async () => {
  using directory = temporaryDirectory();
  const socket = join(directory.path, "shim.sock");
  const server = new Server();
  const unused = () => {
    throw new StatusError(12, "not here");
  };
  const methods = Object.fromEntries(Object.keys(taskV2.methods).map((name) => [name, unused]));
  server.register(taskV2, {
    ...(methods as unknown as Parameters<typeof server.register<typeof taskV2>>[1]),
    connect: () => ({ shimPid: 1, taskPid: 4711 }),
    state: () => ({ id: "web", pid: 4711, status: 2 }),
  });
  await listenUnix(server, socket);
  const { manager, bundlePath } = await managerWithTask(directory.path, socket);
  await using _ = manager;
  const [summary] = await listContainers(manager.containers, manager.tasks);
  assert.deepEqual([summary?.state, summary?.pid], ["running", 4711]);
  assert.ok(existsSync(bundlePath));
  server.close();
});

test("a shim that is gone is cleaned up by its delete command, once, and its exit is kept", async () => {
  using directory = temporaryDirectory();
  const { manager, bundlePath } = await managerWithTask(directory.path, join(directory.path, "nobody.sock"));
  await using _ = manager;
  const summaries = await Promise.all([1, 2].map(() => listContainers(manager.containers, manager.tasks)));
  for (const [summary] of summaries) assert.deepEqual([summary?.state, summary?.exitStatus], ["stopped", 137]);
  assert.equal(existsSync(bundlePath), false);
  assert.equal(readFileSync(join(directory.path, "log"), "utf8"), "deleted\n");
});

test("a shim that never came up counts as gone", async () => {
  using directory = temporaryDirectory();
  const { manager, bundlePath } = await managerWithTask(directory.path, join(directory.path, "nobody.sock"));
  await using _ = manager;
  writeFileSync(join(bundlePath, "bootstrap.json"), '{"version":2,"address":"unix:///nonexistent/x"}');
  const record = await manager.containers.get("we");
  assert.equal(await manager.tasks.get(record), undefined);
  assert.equal(existsSync(bundlePath), false);
});

test("an id is taken once, and found by its beginning", async () => {
  using directory = temporaryDirectory();
  const { manager } = await managerWithTask(directory.path, "/nonexistent");
  await using _ = manager;
  const request = { id: "web", runtime: "a.fake.v1", image: join(directory.path, "rootfs"), args: ["x"], options: {} };
  await assert.rejects(manager.containers.create(request), /the id is taken/);
  await manager.containers.create({ ...request, id: "web2" });
  assert.equal((await manager.containers.get("web")).id, "web");
  await assert.rejects(manager.containers.get("we"), /2 containers begin so/);
  await assert.rejects(manager.containers.get("../x"), /not an identifier/);
});
