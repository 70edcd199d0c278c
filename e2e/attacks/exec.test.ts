/** An exec into a container whose files, mounts and devices its root has changed since it was made. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { AttackBed } from "./bed/bed.ts";
import { baseConfig, type Config } from "./bed/config.ts";

const LIMIT = { timeout: 60_000 };

/** Root in the container may mount; what `script` does is done when /tmp/ready is there. */
function privileged(script: string): Config {
  const config = baseConfig(["sh", "-c", `${script}; touch /tmp/ready; sleep 1000`]);
  for (const set of ["bounding", "effective", "permitted"] as const)
    config.process.capabilities[set].push("CAP_SYS_ADMIN");
  config.linux.readonlyPaths = [];
  return config;
}

async function start(bed: AttackBed, script: string): Promise<AsyncDisposable> {
  const container = await bed.start(privileged(script));
  for (let tries = 0; !existsSync(bed.path("tmp/ready")); tries++) {
    assert.ok(tries < 100, "the container is not ready");
    await delay(50);
  }
  return container;
}

/** Ways to make /etc/passwd hold up, or fill, whoever reads it. */
const PASSWD: Readonly<Record<string, (path: string) => unknown>> = {
  "a FIFO": (path) => execFileSync("mkfifo", [path]),
  "a link to an endless device": (path) => symlinkSync("/dev/zero", path),
  "a link to a terminal": (path) => symlinkSync("/dev/ptmx", path),
  "a link to the runtime's own memory": (path) => symlinkSync("/proc/self/mem", path),
  "a directory": (path) => mkdirSync(path),
  "a link to itself": (path) => symlinkSync("passwd", path),
  "CVE-2026-47262: 2 GB of nothing": (path) => {
    writeFileSync(path, "");
    truncateSync(path, 2 ** 31);
  },
  "one line of 3 MB": (path) => writeFileSync(path, `a:x:0:0::${"x".repeat(3_000_000)}:\n`),
  "a home with a newline's worth of more variables": (path) =>
    writeFileSync(path, "a:x:0:0::/x\0LD_PRELOAD=/evil.so:/bin/sh\n"),
};

for (const [name, make] of Object.entries(PASSWD)) {
  test(`/etc/passwd is ${name}: the exec runs, with / for its home`, LIMIT, async () => {
    await using bed = new AttackBed();
    await using _ = await bed.start(baseConfig(["sleep", "1000"]));
    rmSync(bed.path("etc/passwd"));
    make(bed.path("etc/passwd"));
    const script = "cat /proc/$$/environ | tr '\\0' '\\n'; echo $HOME";
    const { code, stdout } = await bed.oci(["exec", bed.id, "/bin/busybox", "sh", "-c", script], 10_000);
    assert.equal(code, 0);
    assert.match(stdout, /^\/(x)?$/m);
    assert.doesNotMatch(stdout, /^LD_PRELOAD/m);
  });
}

test("CVE-2025-52881: a /proc that is not the kernel's takes no label", LIMIT, async () => {
  const fakes = {
    "a tmpfs": "mount -t tmpfs t /proc && mkdir -p /proc/thread-self/attr && touch /proc/thread-self/attr/exec",
    "a part of proc": "mount --bind /proc/1 /proc",
    "a link":
      "mount -t tmpfs t /proc && ln -s /tmp/fake /proc/thread-self && mkdir -p /tmp/fake/attr && touch /tmp/fake/attr/exec",
  };
  for (const [name, script] of Object.entries(fakes)) {
    await using bed = new AttackBed();
    await using _ = await start(bed, script);
    const { code, stdout, stderr } = await bed.oci(["exec", "--apparmor", "confined", bed.id, "echo", "ran"]);
    assert.deepEqual([code === 0, stdout], [false, ""], name);
    assert.match(stderr, /process\.apparmorProfile "confined"/, name);
    assert.equal(bed.image("tmp/fake/attr/exec") ?? "", "");
  }
});

test("CVE-2025-52565: a terminal from a /dev/pts that is no devpts", LIMIT, async () => {
  const fakes = [
    "umount /dev/pts; mount -t tmpfs t /dev/pts; mknod /dev/pts/ptmx c 5 2",
    "umount /dev/pts; mount -t tmpfs t /dev/pts; ln -s /proc/sysrq-trigger /dev/pts/ptmx",
    "umount /dev/pts; rmdir /dev/pts; ln -s /proc /dev/pts",
  ];
  for (const script of fakes) {
    await using bed = new AttackBed();
    await using _ = await start(bed, script);
    const { code, stdout, stderr } = await bed.oci(["exec", "--tty", bed.id, "echo", "ran"]);
    assert.deepEqual([code === 0, stdout.includes("ran")], [false, false], script);
    assert.match(stderr, /process\.terminal/);
  }
});

test("a loader, its preload list and a shell of the image's are not run before the program", LIMIT, async () => {
  await using bed = new AttackBed();
  const evil = "#!/bin/sh\ntouch /tmp/evil\n";
  for (const path of ["lib64", "lib", "usr"]) mkdirSync(bed.path(path));
  for (const path of ["lib64/ld-linux-x86-64.so.2", "lib/libc.so.6", "bin/nsenter"])
    writeFileSync(bed.path(path), evil, { mode: 0o755 });
  writeFileSync(bed.path("etc/ld.so.preload"), "/lib/libc.so.6\n");
  await using _ = await bed.start(baseConfig(["/bin/busybox", "sleep", "1000"]));
  const { code, stdout } = await bed.oci(["exec", bed.id, "/bin/busybox", "echo", "ran"]);
  assert.deepEqual([code, stdout, bed.image("tmp/evil")], [0, "ran\n", undefined]);
});

test(
  "pid reuse: a record whose pid is another process's by now signals nobody, and enters nothing",
  LIMIT,
  async () => {
    await using bed = new AttackBed();
    await using _ = await bed.start(baseConfig(["sleep", "1000"]));
    await using other = new AttackBed();
    await using victim = await other.start(baseConfig(["sleep", "1000"]));
    const path = join(bed.folder, "root", bed.id, "state.json");
    const record = JSON.parse(readFileSync(path, "utf8")) as { init: { pid: number; startTime: string } };
    const forge = (init: typeof record.init) => writeFileSync(path, JSON.stringify({ ...record, init }));
    forge({ ...record.init, pid: victim.pid });
    const kill = await bed.oci(["kill", bed.id, "KILL"]);
    const exec = await bed.oci(["exec", bed.id, "echo", "ran"]);
    assert.deepEqual([kill.code === 0, exec.code === 0, exec.stdout], [false, false, ""]);
    assert.ok(existsSync(`/proc/${victim.pid}`), "the victim lives");
    // The control: with the victim's own start time it is taken for the container, so that is what has saved it.
    const [startTime = ""] =
      readFileSync(`/proc/${victim.pid}/stat`, "utf8").split(") ")[1]?.split(" ").slice(19) ?? [];
    forge({ pid: victim.pid, startTime });
    assert.equal((await bed.oci(["kill", bed.id, "KILL"])).code, 0);
    for (let tries = 0; existsSync(`/proc/${victim.pid}`) && !isZombie(victim.pid); tries++) {
      assert.ok(tries < 100);
      await delay(20);
    }
    forge(record.init);
  },
);

function isZombie(pid: number): boolean {
  try {
    return /^\d+ \(.*\) [ZX]/.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}
