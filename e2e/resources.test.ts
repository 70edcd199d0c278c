import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import type { Container } from "./harness/container.ts";
import { type Box, matrix } from "./harness/matrix.ts";

/** cgroup v2 alone, as e2e/vm has it; else v1 with or without a unified tree. */
const IS_V2 = existsSync("/sys/fs/cgroup/cgroup.controllers");

/** A file of the container's cgroup; on v2 there is one folder for all controllers. */
async function cgroupFile(box: Box, container: Container, controller: string, file: string): Promise<string> {
  const root = join("/sys/fs/cgroup", IS_V2 ? "" : controller);
  return (await readFile(join(root, box.engine.namespace, container.id, file), "utf8")).trim();
}

matrix("resources", (scenario) => {
  scenario("--memory-limit and --cpus are in the cgroup", async (box) => {
    const flags = ["--memory-limit", String(64 * 1024 * 1024), "--cpus", "0.5", "--cpu-shares", "512"];
    await using container = await box.start({ flags }, "sleep", "1000");
    if (IS_V2) {
      assert.equal(await cgroupFile(box, container, "memory", "memory.max"), String(64 * 1024 * 1024));
      assert.equal(await cgroupFile(box, container, "cpu", "cpu.max"), "50000 100000");
      assert.match(await cgroupFile(box, container, "cpu", "cpu.weight"), /^(59|20)$/); // runc's old formula and its new one
      return;
    }
    assert.equal(await cgroupFile(box, container, "memory", "memory.limit_in_bytes"), String(64 * 1024 * 1024));
    assert.equal(await cgroupFile(box, container, "cpu", "cpu.cfs_quota_us"), "50000");
    assert.equal(await cgroupFile(box, container, "cpu", "cpu.cfs_period_us"), "100000");
    assert.equal(await cgroupFile(box, container, "cpu", "cpu.shares"), "512");
  });

  scenario("init and execs are in every cgroup of the container", async (box) => {
    await using container = await box.start({}, "sleep", "1000");
    await box.engine.ctrOk("task", "exec", "-d", "--exec-id", "other", container.id, "sleep", "500");
    for (const controller of ["cpu", "devices", "freezer", "memory", "pids"]) {
      const pids = (await cgroupFile(box, container, controller, "cgroup.procs")).split("\n");
      assert.equal(pids.length, 2, controller);
      assert.ok(pids.includes(String((await container.listed())?.pid)), controller);
    }
  });

  scenario("--net-host: the host's interfaces; without: loopback, down", async (box) => {
    const host = await box.run({ flags: ["--net-host"] }, "ls", "/sys/class/net");
    for (const name of Object.keys(networkInterfaces())) assert.match(host.stdout, new RegExp(`^${name}$`, "m"));
    assert.equal((await box.run({}, "ls", "/sys/class/net")).stdout.trim(), "lo");
  });

  scenario("--privileged: all capabilities that we have, devices, a writable /sys", async (box) => {
    const script =
      "grep CapEff /proc/self/status; grep -c ' /sys sysfs rw' /proc/mounts; ls -d /dev/kmsg; grep Seccomp: /proc/self/status";
    const done = await box.run({ flags: ["--privileged"] }, "sh", "-c", script);
    const own = /CapEff:\t\w+/.exec(await readFile("/proc/self/status", "utf8"))?.[0];
    assert.deepEqual(done.stdout.trim().split("\n"), [own, "1", "/dev/kmsg", "Seccomp:\t0"], done.stderr);
  });

  scenario("devices: only those of the list may be opened", async (box) => {
    const script =
      "mknod /tmp/null c 1 3 && cat /tmp/null && echo null; mknod /tmp/mem c 1 1 && cat /tmp/mem | head -c 1; mknod /tmp/disk b 7 0; cat /tmp/disk";
    const done = await box.run({}, "sh", "-c", script);
    assert.equal(done.stdout, "null\n");
    assert.match(done.stderr, /\/tmp\/mem.*Operation not permitted/);
    assert.match(done.stderr, /\/tmp\/disk.*Operation not permitted/);
  });

  scenario("--seccomp: the default profile refuses what it should", async (box) => {
    const done = await box.run(
      { flags: ["--seccomp"] },
      "sh",
      "-c",
      "grep Seccomp: /proc/self/status; unshare -U true",
    );
    assert.match(done.stdout, /Seccomp:\t2/);
    assert.match(done.stderr, /Operation not permitted/);
  });

  scenario("--cap-add, --cap-drop, --allow-new-privs", async (box) => {
    const flags = ["--cap-add", "CAP_SYS_PTRACE", "--cap-drop", "CAP_CHOWN", "--allow-new-privs"];
    const done = await box.run({ flags }, "sh", "-c", "grep -E 'CapEff|NoNewPrivs' /proc/self/status");
    assert.equal(done.stdout, "CapEff:\t00000000a80c25fa\nNoNewPrivs:\t0\n", done.stderr);
  });
});
