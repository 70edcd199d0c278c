import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { firstSpec } from "./commands/spec.ts";
import { CRIU_PATH, makeCriuBundle } from "./testing/criu-bundle.ts";

const OURS = join(import.meta.dirname, "../../../../build/bin/trimaran-oci");
const RUNC = "runc"; // Debian's: the control
const COUNT = "i=0; while :; do i=$((i+1)); echo $i > /tmp/new; mv /tmp/new /tmp/count; sleep 0.05; done";

let folder: string;
before(() => {
  folder = makeCriuBundle(["sh", "mv", "sleep", "nc", "ip"]);
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A runtime's command line, with a root of its own. Its containers have nothing for stdio: what they have they would keep open. */
function runtime(program: string, name: string, path = CRIU_PATH) {
  const root = join(folder, name);
  return (...words: string[]) => {
    const isMaking = words.some((word) => word === "run" || word === "restore");
    const log = join(folder, `${name}.log`);
    const { status, stdout } = spawnSync(program, ["--root", root, "--log", log, ...words], {
      cwd: join(folder, "bundle"),
      env: { PATH: path },
      encoding: "utf8",
      timeout: 60_000,
      stdio: isMaking ? "ignore" : ["ignore", "pipe", "pipe"],
    });
    return { code: status ?? -1, out: stdout ?? "", error: existsSync(log) ? readFileSync(log, "utf8") : "" };
  };
}

function configure(script: string): void {
  const spec = firstSpec();
  spec.process.terminal = false;
  spec.process.args = ["sh", "-c", script];
  spec.root.readonly = false;
  writeFileSync(join(folder, "bundle/config.json"), JSON.stringify(spec));
  rmSync(join(folder, "bundle/rootfs/tmp/count"), { force: true });
}

const count = () => {
  const path = join(folder, "bundle/rootfs/tmp/count");
  return existsSync(path) ? Number(readFileSync(path, "utf8")) : 0;
};

async function counted(number: number): Promise<void> {
  for (let tries = 0; count() < number; tries++) {
    assert.ok(tries < 500, `it does not count to ${number}`);
    await delay(20);
  }
}

for (const [name, program] of [
  ["runc", RUNC],
  ["ours", OURS],
] as const) {
  test(`${name}: checkpoint --leave-running, checkpoint, restore --detach: it goes on counting`, async () => {
    const oci = runtime(program, name);
    const [images, work] = [join(folder, `${name}-images`), join(folder, `${name}-work`)];
    const places = ["--image-path", images, "--work-path", work];
    configure(COUNT);
    assert.equal(oci("run", "--detach", "c").code, 0);
    await counted(3);
    const left = oci("checkpoint", ...places, "--leave-running", "c");
    assert.equal(left.code, 0, left.error);
    await counted(count() + 3);
    assert.equal(oci("pause", "c").code, 0);
    const paused = count();
    const taken = oci("checkpoint", ...places, "c");
    assert.equal(taken.code, 0, taken.error);
    assert.notEqual(oci("state", "c").code, 0, "it is gone");
    assert.ok(existsSync(join(work, "dump.log")) && existsSync(join(images, "inventory.img")));
    const pidFile = join(folder, "pid");
    const restored = oci("restore", ...places, "--detach", "--pid-file", pidFile, "again");
    assert.equal(restored.code, 0, restored.error);
    const state = JSON.parse(oci("state", "again").out) as { status: string; pid: number };
    assert.equal(state.status, "running");
    assert.equal(readFileSync(pidFile, "utf8"), String(state.pid));
    assert.ok(count() >= paused);
    await counted(paused + 3);
    assert.equal(oci("exec", "again", "sh", "-c", "exit 5").code, 5);
    if (name === "ours") assert.equal(oci("exec", "again", "sh", "-c", 'test -n "$(ip addr show lo up)"').code, 0);
    assert.equal(oci("delete", "--force", "again").code, 0);
    assert.deepEqual(readdirSync(join(folder, name)), []);
  });
}

test("without --detach a restore hands the exit code on, and deletes", async () => {
  const oci = runtime(OURS, "foreground");
  configure(`${COUNT.replace("while :", "until [ -e /tmp/end ]")}; exit 9`);
  const images = join(folder, "foreground-images");
  assert.equal(oci("run", "--detach", "c").code, 0);
  await counted(3);
  assert.equal(oci("checkpoint", "--image-path", images, "c").code, 0);
  assert.ok(existsSync(join(images, "dump.log")), "beside the images, as long as nothing else is said");
  writeFileSync(join(folder, "bundle/rootfs/tmp/end"), "");
  const { code, error } = oci("restore", "--image-path", images, "c");
  assert.equal(code, 9, error);
  assert.deepEqual(readdirSync(join(folder, "foreground")), []);
  rmSync(join(folder, "bundle/rootfs/tmp/end"));
});

test("what fails: criu's first error, the container runs on; no criu; no checkpoint; flags that are not supported", async () => {
  const oci = runtime(OURS, "failing");
  const images = join(folder, "failing-images");
  configure(`ip link set lo up; nc -l -p 99 -e sleep 1000 & sleep 0.3; sleep 1000 | nc 127.0.0.1 99 & ${COUNT}`);
  assert.equal(oci("run", "--detach", "c").code, 0);
  await counted(10);
  const refused = oci("checkpoint", "--image-path", images, "c");
  assert.equal(refused.code, 1);
  assert.match(refused.error, /criu dump: Error \(criu\/sk-inet\.c:\d+\): .*--tcp-established.* \(\/.*\/dump\.log\)/);
  await counted(count() + 3);
  const without = runtime(OURS, "failing", "/usr/bin:/bin")("checkpoint", "c");
  assert.equal(without.code, 1);
  assert.match(without.error, /not implemented: criu is not installed \(PATH: \/usr\/bin:\/bin\)/);
  assert.match(oci("checkpoint", "--pre-dump", "c").error, /checkpoint: --pre-dump is not supported/);
  assert.equal(oci("delete", "--force", "c").code, 0);
  assert.match(oci("restore", "--image-path", "/none", "d").error, /\/none\/inventory\.img/);
  rmSync(join(images, "core-1.img"), { force: true });
  const broken = oci("restore", "--detach", "--image-path", images, "d");
  assert.equal(broken.code, 1);
  assert.deepEqual(readdirSync(join(folder, "failing")), []);
});
