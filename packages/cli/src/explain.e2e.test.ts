import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { finished, MAIN, RUNTIME, Trimaran } from "./testing/trimaran.ts";

const trimaran = new Trimaran();
after(() => trimaran[Symbol.dispose]());
const { rootfs } = trimaran;

test("what would be run: its program; nothing is run, and nothing of it stays", async () => {
  const { code, stdout, stderr } = await trimaran.call(
    "explain",
    "--read-only",
    "--env",
    "TOKEN=hunter2",
    rootfs,
    "sh",
    "-c",
    "exit 1",
  );
  assert.deepEqual([code, stderr], [0, ""]);
  assert.match(stdout, /^new namespaces: +mount, uts, ipc, pid, network$/m);
  assert.match(stdout, /^ROOT FILESYSTEM: /m);
  assert.match(stdout, /^ {2}root\.readonly$/m);
  assert.match(stdout, /EXEC\("", \["sh", "-c", "exit 1"\]/);
  assert.doesNotMatch(stdout, /hunter2/);
  assert.equal((await trimaran.call("ps", "-a", "-q")).stdout, "");
  assert.deepEqual(trimaran.leftovers(), []);
});

test("a bundle, and the difference of two", async () => {
  const bundle = (name: string, change: (config: Record<string, unknown>) => void) => {
    const config = {
      ociVersion: "1.0.2",
      root: { path: "rootfs" },
      process: { args: ["sh"], cwd: "/", user: { uid: 0, gid: 0 } },
      linux: { namespaces: [{ type: "mount" }, { type: "pid" }] },
    };
    change(config);
    const path = join(trimaran.directory, name);
    mkdirSync(path);
    writeFileSync(join(path, "config.json"), JSON.stringify(config));
    return path;
  };
  const plain = bundle("plain", () => {});
  const named = bundle("named", (config) =>
    Object.assign(config, {
      hostname: "box",
      linux: { namespaces: [{ type: "mount" }, { type: "pid" }, { type: "uts" }] },
    }),
  );
  const { steps } = JSON.parse((await trimaran.call("explain", "--json", plain)).stdout);
  assert.equal(steps.at(-1).call, "EXEC");
  const { code, stdout } = await trimaran.call("explain", "--against", named, plain);
  assert.equal(code, 0);
  assert.match(stdout, /^\+ CLONE\(CLONE_NEWNS\|CLONE_NEWUTS\|CLONE_NEWPID/m);
  assert.match(stdout, /^\+ sethostname\("box"\)$/m);
  assert.doesNotMatch(stdout, /pivot_root/); // both do
});

test("a running container on a page; an exec in it enters its namespaces and makes none", async () => {
  assert.equal(
    (await trimaran.run("-d", "--name", "web", "--memory", "64m", "--net-host", rootfs, "sleep", "1000")).code,
    0,
  );
  try {
    const page = JSON.parse((await trimaran.call("explain", "--json", "web")).stdout);
    const inode = (name: string) => statSync(`/proc/${page.pid}/ns/${name}`).ino;
    const of = (kind: string) => page.namespaces.find((each: { kind: string }) => each.kind === kind);
    assert.deepEqual([of("mount").relation, of("mount").inode], ["own", inode("mnt")]);
    assert.deepEqual([of("network").relation, of("network").inode], ["host", statSync("/proc/self/ns/net").ino]);
    const limits = page.cgroups.flatMap(({ limits }: { limits: Record<string, string> }) => Object.entries(limits));
    assert.ok(
      limits.some(
        ([file, value]: [string, string]) => /^memory\.(max|limit_in_bytes)$/.test(file) && value === "67108864",
      ),
    );
    assert.ok(
      page.capabilities.bounding.includes("CAP_CHOWN") && !page.capabilities.bounding.includes("CAP_SYS_ADMIN"),
    );
    assert.ok(
      page.mounts.some(({ target, type }: { target: string; type: string }) => target === "/" && type === "overlay"),
    );
    assert.ok(page.layers.length >= 2);
    const text = (await trimaran.call("explain", "web")).stdout;
    assert.match(text, /^ {2}network +the host's/m);
    const exec = JSON.parse((await trimaran.call("explain", "--json", "web", "ls")).stdout);
    assert.deepEqual([exec.kind, exec.newNamespaces], ["exec", []]);
    assert.deepEqual(exec.joinedNamespaces, ["mount", "uts", "ipc", "pid"]);
  } finally {
    await trimaran.call("rm", "-f", "web");
  }
});

test("what is neither is one sentence", async () => {
  const { code, stderr } = await trimaran.call("explain", "/no/such/thing");
  assert.deepEqual(
    [code, stderr.split("\n")[0]],
    [125, 'trimaran: explain: image "/no/such/thing": no such directory or archive'],
  );
});

test(`doctor: this host runs ${RUNTIME}; the exit code says whether there is a problem`, async () => {
  const doctor = (...flags: string[]) => finished(spawn(process.execPath, [MAIN, "doctor", ...flags]));
  const { code, stdout } = await doctor("--runtime", "runc", "--json");
  const checks = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  const own = checks.filter(({ group }) => group !== "containerd"); // others' daemons are not this test's
  assert.deepEqual(
    own.filter(({ status }) => status === "problem"),
    [],
  );
  assert.equal(code, checks.some(({ status }) => status === "problem") ? 1 : 0);
  for (const check of checks) assert.equal(check.fix === undefined, check.status === "ok", JSON.stringify(check));
  const { PATH = "" } = process.env;
  process.env.PATH = "/nonexistent";
  try {
    const without = await doctor("--runtime", "gvisor");
    assert.equal(without.code, 1);
    assert.match(without.stdout, /PROBLEM +runsc +.*\n +fix: apt-get install runsc/);
  } finally {
    process.env.PATH = PATH;
  }
});
