import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { taskV2 } from "@trimaran/proto";
import { listenUnix, Server, StatusError } from "ttrpc-ts";
import { bundleAt, createBundle, writeBootstrap } from "../bundles/bundle.ts";
import { parseIdentifier } from "../bundles/identifier.ts";
import { loadSyscalls } from "../host/syscalls.ts";
import { writeFakeShim } from "../testing/fake-shim.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { ClientTask } from "./client-task.ts";
import { createContainer } from "./create-container.ts";
import { findContainer } from "./find-container.ts";
import { listContainers } from "./list-containers.ts";
import type { ManagerClient } from "./manager-client.ts";
import { openClient } from "./open-client.ts";
import { removeContainer } from "./remove-container.ts";

const DIED_WITH_9 = "printf '\\010\\007\\020\\211\\001\\032\\002\\010\\005'"; // pid 7, status 137, at second 5
const PLAIN = {
  direct: false,
  args: ["x"],
  options: {},
  ports: [],
  autoRemove: false,
  keepOutput: false,
  transfer: {},
};

/** A client in a process of its own, as far as its directories can tell: the manager is within it. */
function openTestClient(directory: string, access: "read" | "write" = "write"): Promise<ManagerClient> {
  return openClient({
    directories: { root: join(directory, "root"), state: join(directory, "state") },
    namespace: "default",
    access,
    shimDirectories: [directory],
    environment: process.env,
    publishBinary: "/nonexistent",
    debug: false,
    version: "test",
  });
}

/** One container, whose bundle says that a shim listens at `address`. */
async function makeContainer(client: ManagerClient, directory: string, address: string): Promise<string> {
  const binary = writeFakeShim(directory, { delete: `echo deleted >> ${directory}/log; ${DIED_WITH_9}` });
  const rootfs = join(directory, "rootfs");
  mkdirSync(rootfs);
  await createContainer(client, { ...PLAIN, id: "web", runtime: "a.fake.v1", source: rootfs });
  const bundle = bundleAt(client.directories, parseIdentifier("namespace", "default"), parseIdentifier("id", "web"));
  await createBundle(bundle, "{}", loadSyscalls());
  await writeBootstrap(bundle, { version: 2, address: `unix://${address}`, protocol: "ttrpc" }, binary);
  return bundle.path;
}

test("a shim that lives is found again by its bundle, by any process", async () => {
  using directory = temporaryDirectory();
  const socket = join(directory.path, "shim.sock");
  const server = new Server();
  const unused = () => {
    throw new StatusError(12, "not here");
  };
  const methods = Object.fromEntries(Object.keys(taskV2.methods).map((name) => [name, unused]));
  server.register(taskV2, {
    ...(methods as unknown as Parameters<typeof server.register<typeof taskV2>>[1]),
    state: () => ({ id: "web", pid: 4711, status: 2 }),
  });
  await listenUnix(server, socket);
  await using client = await openTestClient(directory.path);
  const bundlePath = await makeContainer(client, directory.path, socket);
  await using other = await openTestClient(directory.path, "read");
  for (const each of [client, other]) {
    const [summary] = await listContainers(each);
    assert.deepEqual([summary?.state, summary?.pid], ["running", 4711]);
  }
  assert.ok(existsSync(bundlePath));
  server.close();
});

test("a shim that is gone is cleaned up by its delete command, once, and its exit is kept", async () => {
  using directory = temporaryDirectory();
  await using client = await openTestClient(directory.path);
  const bundlePath = await makeContainer(client, directory.path, join(directory.path, "nobody.sock"));
  await using other = await openTestClient(directory.path);
  const summaries = await Promise.all([client, other].map((each) => listContainers(each)));
  for (const [summary] of summaries) assert.deepEqual([summary?.state, summary?.exitStatus], ["stopped", 137]);
  assert.equal(existsSync(bundlePath), false);
  assert.equal(readFileSync(join(directory.path, "log"), "utf8"), "deleted\n");
});

test("a shim that never came up counts as gone", async () => {
  using directory = temporaryDirectory();
  await using client = await openTestClient(directory.path);
  const bundlePath = await makeContainer(client, directory.path, join(directory.path, "nobody.sock"));
  writeFileSync(join(bundlePath, "bootstrap.json"), '{"version":2,"address":"unix:///nonexistent/x"}');
  const { id } = await findContainer(client, "we");
  assert.equal(await new ClientTask(client, id).status(), undefined);
  assert.equal(existsSync(bundlePath), false);
});

test("an id is taken once, found by its beginning, and free again when removed", async () => {
  using directory = temporaryDirectory();
  await using client = await openTestClient(directory.path);
  await makeContainer(client, directory.path, "/nonexistent");
  const request = { ...PLAIN, id: "web", runtime: "a.fake.v1", source: join(directory.path, "rootfs") };
  await assert.rejects(createContainer(client, request), { code: 6, message: /the id is taken/ });
  await createContainer(client, { ...request, id: "web2" });
  assert.equal((await findContainer(client, "web")).id, "web");
  await assert.rejects(findContainer(client, "we"), /2 containers begin so/);
  await assert.rejects(findContainer(client, "../x"), /not an identifier/);
  await removeContainer(client, await findContainer(client, "web2"), false);
  await createContainer(client, { ...request, id: "web2" });
});

test("what cannot be a source is refused, and nothing stays", async () => {
  using directory = temporaryDirectory();
  await using client = await openTestClient(directory.path);
  const request = { ...PLAIN, id: "web", runtime: "a.fake.v1" };
  const notAnImage = join(directory.path, "x.tar");
  writeFileSync(notAnImage, "not a tar");
  await assert.rejects(createContainer(client, { ...request, source: "/no/image.tar" }), { code: 5 });
  await assert.rejects(createContainer(client, { ...request, source: "busybox" }), {
    code: 5,
    message: 'image "busybox": not in the store',
    hint: "trimaran pull busybox",
  });
  await assert.rejects(createContainer(client, { ...request, source: notAnImage }), { code: 3 });
  await assert.rejects(createContainer(client, { ...request, source: directory.path, options: { user: "nobody" } }));
  assert.deepEqual(await listContainers(client), []);
});

test("an address where nobody listens is an error, not a reason to do without a daemon", async () => {
  using directory = temporaryDirectory();
  const options = {
    directories: { root: directory.path, state: directory.path },
    namespace: "default",
    address: join(directory.path, "nobody.sock"),
    access: "read",
    shimDirectories: [],
    environment: {},
    publishBinary: "/nonexistent",
    debug: false,
    version: "test",
  } as const;
  await assert.rejects(openClient(options), { code: 14, message: /nobody listens there/ });
});
