import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { BUILDS, type Build, Installation, makeMonitor } from "./testing/pod.ts";

makeMonitor(...BUILDS);

/** DeleteResponse, as far as we print it. */
function parseDeleteResponse(bytes: Buffer): { pid: number; status: number; seconds: number } {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[at++] ?? 0;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  const found = { pid: 0, status: 0, seconds: 0 };
  while (at < bytes.length) {
    const tag = bytes[at++];
    if (tag === 0x08) found.pid = varint();
    else if (tag === 0x10) found.status = varint();
    else if (tag === 0x1a) {
      const end = varint() + at;
      assert.equal(bytes[at++], 0x08);
      found.seconds = varint();
      at = end;
    } else throw new Error(`tag ${tag}`);
  }
  return found;
}

function startTime(pid: number): string {
  return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[19] ?? "";
}

/** An installation whose task server cannot start: `delete` is on its own at once. */
function openAlone(build: Build, undo?: string): Installation {
  const at = new Installation(build, ["/bin/false"]);
  if (undo !== undefined) writeFileSync(join(at.bundle, "trimaran.undo"), undo);
  return at;
}
const DELETE = ["-id", "x", "delete"];

for (const build of BUILDS) {
  test(`${build}: delete without a task server carries out the undo file and answers 137`, async () => {
    await using at = openAlone(build);
    const victim = spawn("sleep", ["1000"]);
    const bystander = spawn("sleep", ["1000"]);
    const group = `/sys/fs/cgroup/pids/trm-undo-${process.pid}`;
    const member = spawn("sleep", ["1000"]);
    execFileSync("mkdir", ["-p", `${group}/child`]);
    writeFileSync(`${group}/cgroup.procs`, `${member.pid}`);
    const mounted = join(at.root, "mnt");
    mkdirSync(mounted);
    execFileSync("mount", ["-t", "tmpfs", "none", mounted]);
    execFileSync("mount", ["-t", "tmpfs", "none", mounted]);
    const file = join(at.root, "file");
    writeFileSync(file, "");
    const lines = [
      "pid 4711",
      `kill-cgroup ${group}`,
      `kill-pid ${victim.pid} ${startTime(victim.pid ?? 0)}`,
      `kill-pid ${bystander.pid} 1`,
      `umount ${mounted}`,
      `rmdir ${mounted}`,
      `rmdir ${group}`,
      `unlink ${file}`,
      "unlink /no/such/file",
      "umount /no/such/mount",
      "rmdir /no/such/dir",
    ];
    writeFileSync(join(at.bundle, "trimaran.undo"), lines.map((line) => `${line}\n`).join(""));
    const gone = [once(victim, "exit"), once(member, "exit")];
    const result = await at.run(DELETE);
    assert.equal(result.code, 0);
    const response = parseDeleteResponse(result.stdout);
    assert.deepEqual([response.pid, response.status], [4711, 137]);
    assert.ok(Math.abs(response.seconds - Date.now() / 1000) < 5);
    assert.match(result.stderr, /^trimaran: delete: no task server \([^)]*\), undoing without it\n$/);
    for (const exit of await Promise.all(gone)) assert.equal((exit as unknown[])[1], "SIGKILL");
    assert.equal(bystander.exitCode, null, "another start time: another process");
    bystander.kill("SIGKILL");
    for (const path of [group, mounted, file]) assert.ok(!existsSync(path), path);
  });

  test(`${build}: no undo file: the answer all the same; again: the same`, async () => {
    await using at = openAlone(build);
    for (let i = 0; i < 2; i++) {
      const result = await at.run(["-id", "x", "-bundle", at.bundle, "delete"]);
      assert.equal(result.code, 0);
      assert.deepEqual([parseDeleteResponse(result.stdout).pid, parseDeleteResponse(result.stdout).status], [0, 137]);
    }
  });

  test(`${build}: one bad line and nothing is carried out`, async () => {
    await using at = openAlone(build);
    const file = join(at.root, "canary");
    writeFileSync(file, "");
    const bad = [
      "unlink relative",
      `unlink ${at.root}/../x`,
      `unlink ${at.root}/./x`,
      "unlink",
      "unlink ",
      " unlink /x",
      "rm /x",
      "pid 0",
      "pid -1",
      "pid 1x",
      "pid 99999999999",
      "kill-pid 1",
      "kill-pid 1 ",
      "kill-pid 1 2 3",
      "kill-pid 1 0",
      "",
      "pid 12 ",
      "umount x",
      `unlink /${"x".repeat(4096)}`,
      "unlink /x\0y",
    ];
    for (const line of bad) {
      writeFileSync(join(at.bundle, "trimaran.undo"), `unlink ${file}\n${line}\n`);
      const result = await at.run(DELETE);
      assert.match(result.stderr, /malformed/, JSON.stringify(line));
      assert.equal(parseDeleteResponse(result.stdout).status, 137);
      assert.ok(existsSync(file));
    }
    writeFileSync(join(at.bundle, "trimaran.undo"), `unlink ${file}`);
    assert.match((await at.run(DELETE)).stderr, /malformed/);
  });

  test(`${build}: an undo file that is a symlink, or that others can write, is not read`, async () => {
    await using at = openAlone(build);
    const file = join(at.root, "canary");
    writeFileSync(file, "");
    const undo = join(at.bundle, "trimaran.undo");
    writeFileSync(undo, `unlink ${file}\n`);
    chmodSync(undo, 0o666);
    assert.match((await at.run(DELETE)).stderr, /not permitted/);
    chmodSync(undo, 0o600);
    renameSync(undo, join(at.root, "elsewhere"));
    symlinkSync(join(at.root, "elsewhere"), undo);
    assert.match((await at.run(DELETE)).stderr, /symbolic/i);
    assert.ok(existsSync(file));
  });

  test(`${build}: leave removes a directory that is empty, and says nothing of one that is not`, async () => {
    await using at = openAlone(build);
    const [empty, used] = [join(at.root, "empty"), join(at.root, "used")];
    mkdirSync(empty);
    mkdirSync(join(used, "theirs"), { recursive: true });
    writeFileSync(join(at.bundle, "trimaran.undo"), `leave ${empty}\nleave ${used}\nleave ${join(at.root, "gone")}\n`);
    const { stderr } = await at.run(DELETE);
    assert.doesNotMatch(stderr, /leave/);
    assert.deepEqual([existsSync(empty), existsSync(join(used, "theirs"))], [false, true]);
  });

  test(`${build}: bundle carries out what another bundle has, at its place, and no further one's`, async () => {
    await using at = openAlone(build);
    const bundles = ["one", "two", "three"].map((name) => join(at.root, name));
    const [one = "", two = "", three = ""] = bundles;
    for (const bundle of bundles) {
      mkdirSync(join(bundle, "made"), { recursive: true });
      const lines = [`rmdir ${bundle}/made`, "pid 5", `bundle ${bundle}`, `bundle ${three}`, `bundle ${at.bundle}`];
      writeFileSync(join(bundle, "trimaran.undo"), `${lines.join("\n")}\n`, { mode: 0o600 });
    }
    const undo = ["pid 7", ...[one, two, join(at.root, "gone")].map((path) => `bundle ${path}`), `rmdir ${one}/made`];
    writeFileSync(join(at.bundle, "trimaran.undo"), `${undo.join("\n")}\n`);
    const { stdout, stderr } = await at.run(DELETE);
    assert.equal(parseDeleteResponse(stdout).pid, 7);
    assert.match(stderr, /^trimaran: delete: [^\n]*\n$/);
    const left = bundles.map((bundle) => existsSync(join(bundle, "made")));
    assert.deepEqual(left, [false, false, true]);
  });

  test(`${build}: rmdir waits while it is busy, removes directories only, and gives up after a second`, async () => {
    await using at = openAlone(build);
    const folder = join(at.root, "tree");
    mkdirSync(join(folder, "a/b"), { recursive: true });
    writeFileSync(join(folder, "a/file"), "");
    writeFileSync(
      join(at.bundle, "trimaran.undo"),
      `rmdir ${folder}\nunlink ${join(folder, "a/file")}\nrmdir ${folder}\n`,
    );
    const startedAt = Date.now();
    const result = await at.run(DELETE);
    assert.match(result.stderr, /undo: rmdir .*not empty/i);
    assert.ok(Date.now() - startedAt < 3000);
    assert.ok(!existsSync(folder));
  });
}

test("monitor: a server that hangs holds delete up for 3 s only", { timeout: 20_000 }, async () => {
  await using at = new Installation("monitor", ["/bin/sleep", "1000"]);
  writeFileSync(at.cmd, "/bin/sh\n-c\nexec sleep 1000\n");
  const startedAt = Date.now();
  const result = await at.run(DELETE);
  assert.equal(result.code, 0);
  assert.ok(Date.now() - startedAt < 3600, `${Date.now() - startedAt} ms`);
  assert.equal(parseDeleteResponse(result.stdout).status, 137);
  rmdirSync(at.bundle);
});
