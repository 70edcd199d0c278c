import assert from "node:assert/strict";
import { test } from "node:test";
import { buildSpec, mergeEnv, type SpecRequest } from "./build-spec.ts";
import { type ContainerOptions, type ImageDefaults, NO_IMAGE_DEFAULTS } from "./container-options.ts";

function build(options: ContainerOptions, args: readonly string[] = ["sh"], image: Partial<ImageDefaults> = {}) {
  const request: SpecRequest = {
    namespace: "ns",
    id: "web",
    args,
    options,
    image: { ...NO_IMAGE_DEFAULTS, ...image },
    lookupUser: async (user) => (user === "bob" ? { uid: 1, gid: 2 } : { uid: 0, gid: 0 }),
    host: { cgroupV2: false, lastCap: 40 },
  };
  return buildSpec(request);
}

test("the default spec is ctr's", async () => {
  const spec = await build({});
  assert.equal(spec.linux.cgroupsPath, "/ns/web");
  assert.deepEqual(
    spec.linux.namespaces.map(({ type }) => type),
    ["pid", "ipc", "uts", "mount", "network"],
  );
  assert.deepEqual(
    spec.mounts.map(({ destination }) => destination),
    ["/proc", "/dev", "/dev/pts", "/dev/shm", "/dev/mqueue", "/sys", "/run"],
  );
  assert.equal(spec.process.capabilities.bounding.length, 14);
  assert.deepEqual(spec.linux.resources, { devices: [{ allow: false, access: "rwm" }] });
  assert.deepEqual([spec.process.noNewPrivileges, spec.root.path], [true, "rootfs"]);
});

test("limits, user, directory and host name", async () => {
  const spec = await build({
    memoryLimitBytes: 1 << 26,
    cpus: 1.5,
    pidsLimit: 9,
    user: "bob",
    cwd: "/x",
    hostname: "h",
  });
  const { memory, cpu, pids } = spec.linux.resources;
  assert.deepEqual([memory, cpu, pids], [{ limit: 1 << 26 }, { quota: 150000, period: 100000 }, { limit: 9 }]);
  assert.deepEqual([spec.process.user, spec.process.cwd, spec.hostname], [{ uid: 1, gid: 2 }, "/x", "h"]);
});

test("an image gives entrypoint, command, environment, directory and user", async () => {
  const image = { entrypoint: ["/e"], cmd: ["c"], env: ["A=1", "PATH=/p"], workingDir: "/w", user: "bob" };
  const untouched = await build({}, [], image);
  assert.deepEqual(untouched.process.args, ["/e", "c"]);
  assert.deepEqual(untouched.process.env, ["PATH=/p", "A=1"]);
  assert.deepEqual([untouched.process.cwd, untouched.process.user.uid], ["/w", 1]);
  const changed = await build({ env: ["A=2"], terminal: true }, ["d"], image);
  assert.deepEqual(changed.process.args, ["/e", "d"]);
  assert.deepEqual(changed.process.env, ["PATH=/p", "A=2", "TERM=xterm"]);
});

test("capabilities are added, dropped, and all of either", async () => {
  const names = async (options: ContainerOptions) => (await build(options)).process.capabilities.bounding;
  assert.ok((await names({ capAdd: ["net_admin"] })).includes("CAP_NET_ADMIN"));
  assert.ok(!(await names({ capDrop: ["CAP_CHOWN"] })).includes("CAP_CHOWN"));
  assert.deepEqual(await names({ capDrop: ["ALL"], capAdd: ["KILL"] }), ["CAP_KILL"]);
  assert.equal((await names({ capAdd: ["ALL"] })).length, 41);
  assert.ok(!(await names({ capAdd: ["ALL"], capDrop: ["KILL"] })).includes("CAP_KILL"));
  await assert.rejects(build({ capAdd: ["NOPE"] }), /--cap-add "NOPE": no such capability/);
});

test("privileged opens everything, the host's network drops the namespace", async () => {
  const privileged = await build({ privileged: true });
  assert.deepEqual(privileged.linux.maskedPaths, []);
  assert.deepEqual(privileged.linux.resources.devices, [{ allow: true, access: "rwm" }]);
  assert.equal(privileged.process.capabilities.effective.length, 41);
  const host = await build({ hostNetwork: true });
  assert.ok(!host.linux.namespaces.some(({ type }) => type === "network"));
  assert.ok(host.mounts.some(({ destination }) => destination === "/etc/resolv.conf"));
});

test("nothing to run, or a relative directory, is refused", async () => {
  await assert.rejects(build({}, []), /process\.args: no command/);
  await assert.rejects(build({ cwd: "x" }), /process\.cwd "x": not an absolute path/);
});

test("later environment wins in the place of the first", () => {
  assert.deepEqual(mergeEnv(["A=1", "B=2"], ["A=3", "C"]), ["A=3", "B=2", "C"]);
});
