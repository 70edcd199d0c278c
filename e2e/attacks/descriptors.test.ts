/** What a container can reach through file descriptors of its runtime. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, copyFileSync, openSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { BUILD_BIN } from "../harness/containerd.ts";
import { run } from "../harness/process.ts";
import { AttackBed } from "./bed/bed.ts";
import { baseConfig, type Config } from "./bed/config.ts";

const FDS = 20;
const SEES_HOST = "test -e canary/secret && echo out; test -e ../canary/secret && echo out; true";

test("CVE-2024-21626: the working directory is a descriptor of the runtime's", { timeout: 120_000 }, async () => {
  await using bed = new AttackBed();
  const directory = openSync(bed.folder, "r"); // one that a caller might leak to us
  try {
    for (let fd = 0; fd < FDS; fd++) {
      for (const self of fd % 4 === 0 ? ["self", "1", "thread-self"] : ["self"]) {
        const config = baseConfig(["sh", "-c", SEES_HOST]);
        config.process.cwd = `/proc/${self}/fd/${fd}`;
        const { stdout, code } = await bed.run("trimaran-oci", config);
        assert.equal(stdout, "", config.process.cwd);
        assert.notEqual(code, 0, config.process.cwd);
      }
    }
    await leaks(bed);
  } finally {
    closeSync(directory);
  }
});

/** The control: a runtime that keeps a directory of the host open, and goes where it is told after chroot. */
async function leaks(bed: AttackBed): Promise<void> {
  const script = 'exec 7<"$1"; exec chroot "$2" /bin/sh -c "mount -t proc proc /proc; cd /proc/self/fd/7 && $3"';
  const argv = ["unshare", "--mount", "--pid", "--fork", "sh", "-c", script, "sh", bed.folder, bed.rootfs, SEES_HOST];
  const { stdout } = await run(argv);
  assert.match(stdout, /out/);
}

test("CVE-2024-21626: the same by links of the image, and for the program itself", { timeout: 120_000 }, async () => {
  await using bed = new AttackBed();
  for (let fd = 3; fd < FDS; fd++) symlinkSync(`/proc/self/fd/${fd}`, bed.path(`fd${fd}`));
  for (let fd = 3; fd < FDS; fd += 3) {
    const byLink = baseConfig(["sh", "-c", SEES_HOST]);
    byLink.process.cwd = `/fd${fd}`;
    const asProgram = baseConfig([`/proc/self/fd/${fd}/bin/sh`, "-c", SEES_HOST]);
    for (const config of [byLink, asProgram]) {
      const { stdout, code } = await bed.run("trimaran-oci", config);
      assert.deepEqual([stdout, code === 0], ["", false], `fd ${fd}`);
    }
  }
});

test("CVE-2024-21626: exec with such a directory, or such a program", { timeout: 120_000 }, async () => {
  await using bed = new AttackBed();
  await using _ = await bed.start(baseConfig(["sleep", "1000"]));
  for (let fd = 3; fd < FDS; fd += 2) {
    const cwd = await bed.oci(["exec", "--cwd", `/proc/self/fd/${fd}`, bed.id, "sh", "-c", SEES_HOST]);
    const program = await bed.oci(["exec", bed.id, `/proc/self/fd/${fd}/bin/sh`, "-c", SEES_HOST]);
    for (const { stdout, code } of [cwd, program]) assert.deepEqual([stdout, code === 0], ["", false], `fd ${fd}`);
  }
});

/** Look at every process that shows up, until told to stop: what of the host it has open, or stands in. */
const SPY = `
cd /proc
while ! test -e /tmp/stop; do
  for p in [0-9]*; do
    test "$p" = 1 -o "$p" = $$ && continue
    for l in "$p"/cwd "$p"/root; do test -e "$l/canary/secret" -o -e "$l/work" && echo "$l" >> /tmp/found; done
    for l in "$p"/fd/*; do
      test -e "$l/canary/secret" -o -e "$l/secret" && echo "$l" >> /tmp/found
    done
  done
  echo >> /tmp/rounds
done 2>/dev/null`;

test("CVE-2016-9962: a container that may trace looks at what enters it", { timeout: 180_000 }, async () => {
  await using bed = new AttackBed();
  await using container = await bed.start(tracing(SPY));
  const rounds = Number(process.env.ATTACK_ROUNDS ?? 40);
  const leaked = openSync(bed.canary, "r");
  try {
    for (let i = 0; i < rounds; i++) assert.equal((await bed.oci(["exec", bed.id, "true"])).code, 0);
    assert.equal(bed.image("tmp/found"), undefined);
    assert.ok((bed.image("tmp/rounds") ?? "").length > 5, "it has looked");
    // The control: nsenter holds the host's directory while it is in the container's pid namespace, with the host's mounts.
    const enter = ["nsenter", "-t", String(container.pid), "--pid", "sh", "-c", "sleep 2"];
    await run(["sh", "-c", `cd ${bed.folder}; exec 7<${bed.canary}; exec "$@"`, "sh", ...enter]);
    assert.match(bed.image("tmp/found") ?? "", /fd\/7|cwd|root/);
  } finally {
    closeSync(leaked);
    writeFileSync(bed.path("tmp/stop"), "");
  }
});

const BINARIES = ["containerd-shim-trimaran-runc-v2", "trimaran-oci", "trimaran"].map((name) => join(BUILD_BIN, name));

function hashes(): string {
  return execFileSync("sha256sum", BINARIES, { encoding: "utf8" });
}

/** Take hold of every program that is executed here, and write to it when it has ended. */
const OVERWRITE = `
cd /proc
while ! test -e /tmp/stop; do
  for p in [0-9]*; do
    test "$p" = 1 && continue
    { exec 9<"$p/exe"; } 2>/dev/null || continue
    case "$(readlink "$p/exe")" in */busybox*) continue;; esac
    readlink "$p/exe" >> /tmp/seen
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16; do
      { echo overwritten > /proc/self/fd/9; } 2>>/tmp/errors && { echo done >> /tmp/written; break; }
      sleep 0.1
    done
  done
done 2>/dev/null`;

/** May trace, so that nothing but the program itself is in the way. */
function tracing(script: string): Config {
  const config = baseConfig(["sh", "-c", script]);
  for (const set of ["bounding", "effective", "permitted"] as const)
    config.process.capabilities[set].push("CAP_SYS_PTRACE");
  return config;
}

test("CVE-2019-5736: the runtime's own program is executed in the container, and written to", {
  timeout: 180_000,
}, async () => {
  await using bed = new AttackBed();
  const before = hashes();
  writeFileSync(bed.path("script"), "#!/proc/self/exe\n", { mode: 0o755 });
  await using container = await bed.start(tracing(OVERWRITE));
  try {
    // It looks at what it finds one after the other, and what it wants is there for a moment only.
    for (let i = 0; i < 5 || (i < 100 && !bed.image("tmp/seen")?.includes("memfd:")); i++) {
      await bed.oci(["exec", bed.id, "/proc/self/exe", "1000"], 3_000).catch(() => undefined);
      await bed.oci(["exec", bed.id, "/script"], 3_000).catch(() => undefined);
    }
    assert.match(bed.image("tmp/seen") ?? "", /memfd:/, "it has had hold of it");
    assert.equal(bed.image("tmp/written"), undefined);
    assert.equal(hashes(), before);
    await victim(bed, container.pid);
  } finally {
    writeFileSync(bed.path("tmp/stop"), "");
  }
});

/**
 * The control: a program of the host's that is not sealed enters the container, and is overwritten. So may be what enters with it: that is a copy, too.
 */
async function victim(bed: AttackBed, pid: number): Promise<void> {
  const [program, entrance] = [join(bed.volume, "runtime"), join(bed.volume, "nsenter")];
  copyFileSync("/usr/bin/sleep", program);
  const isOverwritten = () => readFileSync(program, "utf8").startsWith("overwritten");
  for (let i = 0; i < 20 && !isOverwritten(); i++) {
    copyFileSync("/usr/bin/nsenter", entrance);
    await run([entrance, "-t", String(pid), "--pid", program, "1"]);
    await delay(500);
  }
  assert.match(bed.image("tmp/written") ?? "", /done/, bed.image("tmp/errors") ?? "");
  assert.equal(readFileSync(program, "utf8").slice(0, 11), "overwritten");
}
