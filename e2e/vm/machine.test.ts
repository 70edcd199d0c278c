import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { type MachineOptions, runInGuest } from "./machine.ts";

// These boot a machine each: some seconds.
const ROOT = join(import.meta.dirname, "../..");
const LIMIT_MS = 120_000;

/** A folder for one machine's files, and what runs for it: whatever has the folder's name in its arguments or its cwd. */
class Place implements Disposable {
  readonly path = mkdtempSync("/tmp/vm-test-");

  left(): string[] {
    const processes = readdirSync("/proc").filter((pid) => /^\d+$/.test(pid) && pid !== String(process.pid));
    return [
      ...readdirSync(this.path),
      ...processes.map((pid) => commandOf(pid)).filter((command) => command.includes(this.path)),
      ...readFileSync("/proc/self/mountinfo", "utf8")
        .split("\n")
        .filter((line) => line.includes(this.path)),
    ];
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function commandOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1").replaceAll("\0", " ");
  } catch {
    return ""; // gone, or a zombie
  }
}

/** Run a shell script in a guest: how it ended, and what it said. */
async function run(script: string, place: Place, options: Partial<MachineOptions> = {}) {
  const output = new PassThrough();
  let said = "";
  output.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const task = { argv: ["/bin/sh", "-c", script], env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" }, cwd: ROOT };
  const signal = AbortSignal.timeout(LIMIT_MS);
  const code = await runInGuest(task, { output, signal, folder: place.path, ...options });
  return { code, said };
}

test("exit status and output come back; cgroup2 is all there is; nothing that is written reaches this machine", async () => {
  using place = new Place();
  const mark = `vm-test-mark-${process.pid}`;
  const script = [
    "grep -c ' /sys/fs/cgroup cgroup2 ' /proc/self/mounts; grep -c ' cgroup ' /proc/self/mounts",
    `touch /etc/${mark} && ls /etc/${mark}`,
    "mkdir /tmp/host && mount -t virtiofs host /tmp/host && touch /tmp/host/etc/x",
    "exit 7",
  ].join("\n");
  const { code, said } = await run(script, place);
  assert.match(said, new RegExp(`^1\n0\n/etc/${mark}\n.*Read-only file system\n$`));
  assert.equal(code, 7);
  assert.equal(existsSync(`/etc/${mark}`), false);
  assert.deepEqual(place.left(), []);
});

test("a guest that does not come up: the end of its console is in the error", async () => {
  using place = new Place();
  await assert.rejects(
    run("true", place, { kernelArgs: ["rdinit=/nope"] }),
    /ended before its task did\n.*Kernel panic/s,
  );
  await assert.rejects(run("true", place, { memoryMib: 16 }), /ended before|no end|QEMU: exit status/);
  assert.deepEqual(place.left(), []);
});

test("a task that does not end is stopped, with the reason, and nothing is left", async () => {
  using place = new Place();
  const stop = new AbortController();
  const output = new PassThrough();
  output.once("data", () => stop.abort(new Error("enough")));
  await assert.rejects(run("echo up; sleep 1000", place, { output, signal: stop.signal }), /^Error: enough$/);
  assert.deepEqual(place.left(), []);
});

for (const signal of ["SIGINT", "SIGKILL"] as const) {
  test(`${signal} to the command ends QEMU and the daemon that shares files`, async () => {
    using place = new Place();
    const argv = [join(import.meta.dirname, "run.ts"), "packages/linux/src/cgroup/cgroup-v2.e2e.test.ts"];
    const env = { ...process.env, TMPDIR: place.path };
    const child = spawn(process.execPath, argv, { cwd: ROOT, env, stdio: ["ignore", "ignore", "inherit"] });
    const exit = once(child, "exit");
    while (!place.left().some((line) => line.includes("qemu-system"))) {
      assert.equal(child.exitCode, null, "the command ended before it had a machine");
      await new Promise((done) => setTimeout(done, 50));
    }
    child.kill(signal);
    await exit;
    assert.notEqual(child.exitCode, 0);
    if (signal === "SIGINT") return assert.deepEqual(place.left(), []);
    while (place.left().length > 1) await new Promise((done) => setTimeout(done, 50)); // its folder stays: nobody is there to remove it
    assert.match(place.left()[0] ?? "", /^trimaran-vm-/);
  });
}
