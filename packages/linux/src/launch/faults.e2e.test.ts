import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FORMAT, OP } from "./opcodes.ts";
import type { Program } from "./program.ts";
import { defaultSpec } from "./testing/default-spec.ts";
import { TestPod } from "./testing/pod.ts";

let pod: TestPod;
before(async () => {
  pod = await TestPod.open();
});
after(() => pod[Symbol.asyncDispose]());

const NO_SUCH_CALL = 0xffff;

/** The program with step `index` replaced by a system call that does not exist. */
function breakStep(program: Program, index: number): Program {
  const bytes = Uint8Array.from(program.bytes);
  const view = new DataView(bytes.buffer);
  const at = FORMAT.headerSize + index * FORMAT.stepSize;
  bytes.fill(0, at, at + FORMAT.stepSize);
  view.setUint16(at, OP.SYS, true);
  view.setUint16(at + 2, FORMAT.noRegister, true);
  view.setUint16(at + 4, NO_SUCH_CALL, true);
  return { ...program, bytes };
}

const opOf = ({ bytes }: Program, index: number) =>
  new DataView(bytes.buffer).getUint16(FORMAT.headerSize + index * FORMAT.stepSize, true);

test("a failure at any step leaves no process, no mount, no node", async () => {
  const config = defaultSpec(["sh", "-c", "true"]);
  config.mounts.push({ destination: "/data", type: "bind", source: pod.folder, options: ["rbind", "ro"] });
  const table = pod.hostMounts();
  const devices = readdirSync("/dev").join();
  let steps = 1;
  let reached = 0;
  for (let k = 0; k < steps; k++) {
    const patch = (program: Program) => {
      steps = program.labels.length;
      return opOf(program, k) === OP.CLONE ? program : breakStep(program, k);
    };
    const container = await pod.create(config, {}, undefined, patch);
    const { failure, code } = await container.end();
    if (failure !== undefined) reached++;
    else assert.equal(code, 0, `step ${k}`);
    if (failure !== undefined) assert.match(failure, /ENOSYS/, `step ${k}`);
    assert.equal(pod.hostMounts(), table, `step ${k}`);
  }
  assert.ok(reached > steps * 0.7, `${reached} of ${steps} steps ran`);
  assert.equal(readdirSync("/dev").join(), devices);
});

test("200 binds", async () => {
  const config = defaultSpec(["sh", "-c", "cat /v0/n /v57/n /v199/n"]);
  for (let i = 0; i < 200; i++) {
    const source = join(pod.folder, `v${i}`);
    mkdirSync(source);
    writeFileSync(join(source, "n"), `${i}\n`);
    config.mounts.push({ destination: `/v${i}`, type: "bind", source, options: ["rbind"] });
  }
  const { stdout, failure } = await (await pod.create(config)).end();
  assert.equal(failure, undefined);
  assert.equal(stdout, "0\n57\n199\n");
});

test("propagation: rshared and rslave carry a host mount in, private does not", async () => {
  const volume = join(pod.folder, "volume");
  mkdirSync(volume);
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", volume]);
  execFileSync("mount", ["--make-shared", volume]);
  for (const name of ["late"]) mkdirSync(join(volume, name));
  try {
    const config = defaultSpec(["sh", "-c", "ls /rshared/late /rslave/late /private/late"]);
    for (const word of ["rshared", "rslave", "private"]) {
      config.mounts.push({ destination: `/${word}`, type: "bind", source: volume, options: ["rbind", word] });
    }
    const container = await pod.create(config);
    assert.equal(container.failure, undefined);
    execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(volume, "late")]);
    writeFileSync(join(volume, "late", "x"), "");
    const { stdout } = await container.end();
    execFileSync("umount", [join(volume, "late")]);
    assert.equal(stdout, "/private/late:\n\n/rshared/late:\nx\n\n/rslave/late:\nx\n");
  } finally {
    execFileSync("umount", ["-R", volume]);
  }
});

test("what is mounted in a shared volume is the host's, too, if the root is shared; else not", async () => {
  const volume = join(pod.folder, "both-ways");
  mkdirSync(join(volume, "inner"), { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", volume]);
  execFileSync("mount", ["--make-shared", volume]);
  try {
    mkdirSync(join(volume, "inner"));
    const layers = Array.from({ length: 20 }, (_, i) => join(pod.folder, `layer-${i}`));
    for (const layer of layers) mkdirSync(layer);
    const options = [`lowerdir=${[...layers, pod.path()].join(":")}`];
    const layered = [{ type: "overlay", source: "overlay", target: "", options }];
    const old = { rootfs: layered, host: { ...pod.host, kernel: [6, 1] as const } }; // by mount(2)
    for (const [rootfsPropagation, plan] of [
      ["rshared", {}],
      ["rslave", {}],
      [undefined, {}],
      ["rshared", old],
      [undefined, old],
    ] as const) {
      const config = defaultSpec(["true"]);
      config.mounts.push(
        { destination: "/volume", type: "bind", source: volume, options: ["rbind", "rshared"] },
        { destination: "/volume/inner", type: "tmpfs", source: "tmpfs", options: [] },
      );
      if (rootfsPropagation !== undefined) Object.assign(config.linux, { rootfsPropagation });
      const { failure } = await (await pod.create(config, plan)).end();
      assert.equal(failure, undefined);
      const isSeen = pod.hostMounts().includes(` ${volume}/inner `);
      if (isSeen) execFileSync("umount", [join(volume, "inner")]);
      assert.equal(isSeen, rootfsPropagation === "rshared", `${rootfsPropagation}`);
    }
  } finally {
    execFileSync("umount", ["-R", volume]);
  }
});

test("rootfsPropagation", async () => {
  const slave = /^(-|master:)/; // as the host's is private or shared
  for (const [word, shown] of [
    ["shared", /^shared:/],
    ["rslave", slave],
    ["private", /^-/],
    ["unbindable", /unbindable/],
  ] as const) {
    const config = defaultSpec([
      "sh",
      "-c",
      "grep ' / / \\| /[^ ]*rootfs / ' /proc/self/mountinfo | busybox cut -d' ' -f7",
    ]);
    Object.assign(config.linux, { rootfsPropagation: word });
    const { stdout, failure } = await (await pod.create(config)).end();
    assert.equal(failure, undefined);
    assert.match(stdout, shown, word);
  }
});

test("no process in the config: Create succeeds, Start fails", async () => {
  const { process: _, ...config } = defaultSpec(["true"]);
  const container = await pod.create(config);
  assert.equal(container.failure, undefined);
  assert.equal((await container.end()).code, 255);
});

test("a single cgroup directory is the mount itself", async () => {
  const path = "/sys/fs/cgroup/unified/launch-single";
  mkdirSync(path, { recursive: true });
  const config = defaultSpec([
    "sh",
    "-c",
    "cat /sys/fs/cgroup/cgroup.procs; mkdir /sys/fs/cgroup/x; grep ' /sys/fs/cgroup ' /proc/self/mountinfo | busybox cut -d' ' -f4",
  ]);
  config.linux.namespaces.push({ type: "cgroup" });
  config.mounts.push({ destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro"] });
  const cgroup = { attachFiles: [], into: path, ownDirs: [{ name: "", path }] };
  const { stdout, stderr, failure } = await (await pod.create(config, { cgroup })).end();
  execFileSync("rmdir", [path]);
  assert.equal(failure, undefined);
  assert.match(stdout, /^1\n(.*\n)*\/\n$/);
  assert.match(stderr, /Read-only/);
});
