/** A hostile config.json: what is too much, what says two things, what reaches for the host. */
import assert from "node:assert/strict";
import { chownSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { attack } from "./bed/attack.ts";
import { AttackBed } from "./bed/bed.ts";
import { baseConfig, bind, type Config, mount } from "./bed/config.ts";

const LIMIT = { timeout: 120_000 };

async function run(change: (config: Config, bed: AttackBed) => unknown, script = "true") {
  await using bed = new AttackBed();
  const config = baseConfig(["sh", "-c", script]);
  change(config, bed);
  const done = await bed.run("trimaran-oci", config, 60_000);
  assert.equal(bed.damage(), "");
  assert.deepEqual(
    existsSync(join(bed.folder, "root")) ? readdirSync(join(bed.folder, "root")) : [],
    [],
    "nothing is left",
  );
  return done;
}

test("CVE-2022-0811: a sysctl's value or name that smuggles another one in", LIMIT, async () => {
  const pairs: readonly (readonly [string, string])[] = [
    ["net.ipv4.ip_forward", "1\nkernel.core_pattern=|/evil"],
    ["net.ipv4.ip_forward", "1+kernel.core_pattern=|/evil"],
    ["net/../kernel/core_pattern", "|/evil"],
    ["net.ipv4...kernel.core_pattern", "|/evil"],
    ["net/ipv4/../../kernel/core_pattern", "|/evil"],
    ["kernel.core_pattern", "|/evil"],
    ["kernel/core_pattern", "|/evil"],
    ["net", "x"],
    ["", "x"],
    ["net.ipv4.ip_forward\0", "1"],
    ["/proc/sys/kernel/core_pattern", "|/evil"],
  ];
  for (const [name, value] of pairs) {
    const { code, stderr } = await run(({ linux }) => Object.assign(linux.sysctl, { [name]: value }));
    assert.notEqual(code, 0, name);
    assert.match(stderr, /linux\.sysctl/, name);
  }
});

test("CVE-2021-43784: lengths beyond 16 bits, and far beyond, are right or refused", LIMIT, async () => {
  const maps = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ containerID: i, hostID: 100_000 + i, size: 1 }));
  const long = await run(
    ({ process }) => process.env.push(`A=${"x".repeat(65_537)}`, "B=end"),
    'echo $(printf %s "$A" | busybox wc -c) $B',
  );
  assert.equal(long.stdout, "65537 end\n");
  const cases: Readonly<Record<string, (config: Config) => unknown>> = {
    "a variable of 1 MB": ({ process }) => process.env.push(`A=${"x".repeat(1 << 20)}`),
    "100 000 variables": ({ process }) => process.env.push(...Array.from({ length: 100_000 }, (_, i) => `A${i}=x`)),
    "a name of 5 000 bytes": ({ mounts }) => mounts.push(mount(`/${"x".repeat(5000)}`, "tmpfs")),
    "a path of 70 000 bytes": ({ mounts }) => mounts.push(mount(`/${"x/".repeat(35_000)}`, "tmpfs")),
    "an option of 300 bytes": ({ mounts }) => mounts.push(mount("/mnt", "tmpfs", `size=${"1".repeat(300)}`)),
    "3 000 mounts": ({ mounts }) => mounts.push(...Array.from({ length: 3000 }, () => mount("/mnt", "tmpfs"))),
    "400 lines of a uid_map": (config) => {
      config.linux.namespaces.push({ type: "user" });
      Object.assign(config.linux, { uidMappings: maps(400), gidMappings: maps(400) });
    },
    "a file of 5 MB": ({ annotations }) => Object.assign(annotations, { a: "x".repeat(5 << 20) }),
    "a hostname of 1 MB": (config) => Object.assign(config, { hostname: "x".repeat(1 << 20) }),
  };
  for (const [name, change] of Object.entries(cases)) {
    const { code, stderr } = await run(change);
    assert.notEqual(code, 0, name);
    assert.ok(stderr.length > 0 && stderr.length < 10_000, `${name}: ${stderr.slice(0, 200)}`);
    assert.doesNotMatch(stderr, /TypeError|RangeError|at .*\.js/, name);
  }
});

test("JSON that is deep, double or not what it seems", LIMIT, async () => {
  const texts: readonly string[] = [
    "[".repeat(1_000_000),
    `${'{"a":'.repeat(400_000)}1${"}".repeat(400_000)}`,
    '{"__proto__":{"ociVersion":"1.0.0","process":{"args":["id"]}}}',
    '{"ociVersion":"1.0.2","constructor":{"prototype":{"x":1}}}',
    "null",
    '"x"',
    "\uFEFF{}",
    "\0",
  ];
  for (const text of texts) {
    await using bed = new AttackBed();
    writeFileSync(join(bed.bundle, "config.json"), text);
    const { code, stderr } = await bed.oci(["run", bed.id]);
    assert.notEqual(code, 0, text.slice(0, 40));
    assert.doesNotMatch(stderr, /TypeError|at .*\.js/, text.slice(0, 40));
  }
});

test("a bind's source and the rootfs by ways around", LIMIT, async () => {
  const link = await run((config, bed) => {
    bed.link(bed.canary, "../root-link");
    config.root.path = "root-link";
  });
  assert.match(link.stderr, /root\.path "root-link": has a symlink in it/);
  const magic = await run((config) => Object.assign(config.root, { path: "/proc/self/root" }));
  assert.notEqual(magic.code, 0);
  const dots = await run(
    ({ mounts }, bed) => mounts.push(bind(bed.volume, "/mnt/../../../../../../tmp/made")),
    "ls -d /tmp/made",
  );
  assert.equal(dots.stdout, "/tmp/made\n", "inside");
  assert.ok(!existsSync("/tmp/made"));
});

test("CVE-2021-21334: the environment of one container is not another's", LIMIT, async () => {
  await using bed = new AttackBed();
  const first = baseConfig(["/bin/busybox", "env"]);
  first.process.env.push("ONLY=first");
  assert.match((await bed.run("trimaran-oci", first)).stdout, /ONLY=first/);
  const second = await bed.run("trimaran-oci", baseConfig(["/bin/busybox", "env"]));
  assert.equal(second.stdout, "PATH=/bin\nHOME=/\n");
});

const EVIL = "#!/bin/sh\ntouch";

test("CVE-2024-3154, CVE-2026-53488: annotations start nothing and select nothing", LIMIT, async () => {
  await using bed = new AttackBed();
  const program = join(bed.volume, "evil");
  writeFileSync(program, `${EVIL} ${bed.volume}/ran\n`, { mode: 0o755 });
  const config = baseConfig(["true"]);
  for (const name of ["ExecStartPre", "ExecStopPost", "ExecStart"])
    config.annotations[`org.systemd.property.${name}`] = `[("${program}", ["${program}"], false)]`;
  for (const name of [
    "run.oci.hooks.stdout",
    "run.oci.handler",
    "org.criu.config",
    "containerd.io/log-uri",
    "io.containerd.log.uri",
  ])
    config.annotations[name] = `binary://${program}`;
  assert.equal((await bed.run("trimaran-oci", config)).code, 0);
  assert.ok(!existsSync(join(bed.volume, "ran")));
});

test(
  "CVE-2025-47291: a container with a user namespace is in its cgroup in every hierarchy, from the first step on",
  LIMIT,
  async () => {
    await using bed = new AttackBed();
    for (const name of ["", "tmp", "etc", "dev", "mnt"]) chownSync(bed.path(name), 100_000, 100_000);
    const config = baseConfig(["sleep", "1000"]);
    config.linux.namespaces.push({ type: "user" });
    const map = [{ containerID: 0, hostID: 100_000, size: 65_536 }];
    Object.assign(config.linux, { uidMappings: map, gidMappings: map, cgroupsPath: `/${bed.id}` });
    await using container = await bed.start(config);
    const lines = readFileSync(`/proc/${container.pid}/cgroup`, "utf8").trim().split("\n");
    assert.ok(lines.length > 0);
    for (const line of lines) assert.ok(line.endsWith(`:/${bed.id}`), line);
  },
);

/** A second root, with the working directory left outside of it, is no bound for `..` any more. */
const BREAKOUT = `
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int argc, char **argv)
{
	mkdir("/tmp/x", 0755);
	if (argc < 2 || chdir("/") || chroot("/tmp/x"))
		return 1;
	for (int i = 0; i < 100; i++)
		if (chdir(".."))
			return 2;
	if (chroot("."))
		return 3;
	puts(access(argv[1], R_OK) == 0 ? "out" : "inside");
	return 0;
}`;

attack("a breakout by a second chroot: the old root is gone, not only hidden", {
  script: 'breakout "$(cat /tmp/where)"',
  image: (bed) => {
    bed.program("breakout", BREAKOUT);
    writeFileSync(bed.path("tmp/where"), join(bed.canary, "secret"));
  },
  succeeded: ({ stdout }) => stdout === "out\n",
});
