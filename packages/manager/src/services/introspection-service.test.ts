import assert from "node:assert/strict";
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ANY, containerd, google, grpc, healthV1, introspectionV1, packAny, versionV1 } from "@trimaran/proto";
import { Code } from "../errors/manager-error.ts";
import { inProcessClient } from "../grpc/in-process.ts";
import { findShimBinary } from "../shims/runtime-binary.ts";
import { readRuntimeInfo } from "../shims/runtime-info.ts";
import { temporaryDirectory } from "../testing/temporary-directory.ts";
import { healthService } from "./health-service.ts";
import { introspectionService } from "./introspection-service.ts";
import { managerPlugins } from "./plugins.ts";
import { readServerId } from "./server-id.ts";
import { versionService } from "./version-service.ts";

const plugins = managerPlugins({ snapshotterRoot: "/root/sn", snapshotterCapabilities: ["remap-ids"] });

function introspection(shims: string) {
  const runtimeInfo = async (runtime: string, stdin: Uint8Array, signal: AbortSignal) =>
    readRuntimeInfo(await findShimBinary(runtime, [shims]), stdin, { PATH: "/usr/bin:/bin" }, signal);
  const service = introspectionService({ uuid: "u", plugins, runtimeInfo });
  return inProcessClient(introspectionV1, service, "");
}

test("plugins are found by type and id, as ctr run asks", async () => {
  const client = introspection("/none");
  const filters = ["type==io.containerd.snapshotter.v1, id==overlayfs"];
  const { plugins: found } = await client.plugins({ filters });
  assert.deepEqual(
    found.map(({ exports, capabilities }) => [exports, capabilities]),
    [[{ root: "/root/sn" }, ["remap-ids"]]],
  );
  const all = (await client.plugins({})).plugins.map(({ type, id }) => `${type}.${id}`);
  assert.equal(all.length, plugins.length);
  assert.equal(new Set(all).size, all.length);
  await assert.rejects(client.plugins({ filters: ["type=x"] }), { code: Code.InvalidArgument });
});

test("the server names its process", async () => {
  const { uuid, pid, pidns, deprecations } = await introspection("/none").server({});
  assert.deepEqual([uuid, pid, deprecations], ["u", BigInt(process.pid), []]);
  assert.equal(pidns, statSync("/proc/self/ns/pid", { bigint: true }).ino);
});

test("a shim is asked for -info with the options on stdin", async () => {
  using directory = temporaryDirectory();
  const shim = join(directory.path, "containerd-shim-x-v1");
  writeFileSync(shim, `#!/bin/sh\n[ "$1" = -info ] || exit 3\ncat > ${directory.path}/stdin\nprintf '\\n\\001x'\n`);
  chmodSync(shim, 0o755);
  const client = introspection(directory.path);
  const ask = (runtimePath: string, options: google.protobuf.Any | undefined) => {
    const value = containerd.types.RuntimeRequest.encode({ runtimePath, options });
    return client.pluginInfo({
      type: "io.containerd.runtime.v2",
      id: "task",
      options: packAny(ANY.runtimeRequest, value),
    });
  };
  const options = packAny("o", Buffer.from("v"));
  const { plugin, extra } = await ask("a.x.v1", options);
  assert.equal(plugin?.id, "task");
  assert.equal(extra?.typeUrl, ANY.runtimeInfo);
  assert.equal(containerd.types.RuntimeInfo.decode(extra?.value ?? Buffer.alloc(0)).name, "x");
  assert.deepEqual(readFileSync(join(directory.path, "stdin")), Buffer.from(google.protobuf.Any.encode(options)));
  await assert.rejects(ask("a.none.v1", undefined), { code: Code.NotFound });
  writeFileSync(shim, "#!/bin/sh\necho no such luck >&2; exit 1\n");
  await assert.rejects(ask("a.x.v1", undefined), {
    code: Code.Unavailable,
    message: `shim ${shim} -info: no such luck: unavailable`,
  });
  await assert.rejects(client.pluginInfo({ type: "x", id: "y" }), { code: Code.NotFound });
});

test("the uuid is made once per root, and replaced if it is none", async () => {
  using directory = temporaryDirectory();
  const first = await readServerId(directory.path);
  assert.match(first, /^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/);
  assert.equal(await readServerId(directory.path), first);
  const file = join(directory.path, "io.containerd.grpc.v1.introspection", "uuid");
  assert.equal(readFileSync(file, "utf8"), first);
  writeFileSync(file, "not one");
  assert.notEqual(await readServerId(directory.path), "not one");
  const broken = join(directory.path, "broken");
  mkdirSync(join(broken, "io.containerd.grpc.v1.introspection", "uuid"), { recursive: true });
  await assert.rejects(readServerId(broken), { code: "EISDIR" });
});

test("version", async () => {
  const own = { version: "v0.1.0", revision: "abc" };
  assert.deepEqual(await inProcessClient(versionV1, versionService(own), "").version({}), own);
});

test("health: known services serve, others are NotFound, watching goes on", async () => {
  const { SERVING, SERVICE_UNKNOWN } = grpc.health.v1.ServingStatus;
  const client = inProcessClient(healthV1, healthService(new Set(["a.B"])), "");
  for (const service of ["", "a.B"]) assert.deepEqual(await client.check({ service }), { status: SERVING });
  await assert.rejects(client.check({ service: "x" }), { code: Code.NotFound });
  const seen: number[] = [];
  const watching = (async () => {
    for await (const { status } of client.watch({ service: "x" }, { timeoutMs: 50 })) seen.push(status);
  })();
  await assert.rejects(watching, { code: Code.DeadlineExceeded });
  assert.deepEqual(seen, [SERVICE_UNKNOWN]);
});
