import assert from "node:assert/strict";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { finished, RUNTIME, Trimaran } from "./testing/trimaran.ts";

const trimaran = new Trimaran();
after(() => trimaran[Symbol.dispose]());
const { rootfs } = trimaran;

/** A shim answers Shutdown before it ends, so it gets a moment. */
async function nothingLeft(): Promise<void> {
  for (let tries = 0; tries < 40 && trimaran.leftovers().length > 0; tries++) await setTimeout(50);
  assert.deepEqual(trimaran.leftovers(), []);
}

test(`${RUNTIME}: output, errors and the exit code are the container's own`, async () => {
  const { code, stdout, stderr } = await trimaran.run("--rm", rootfs, "sh", "-c", "echo out; echo err >&2; exit 42");
  assert.deepEqual([code, stdout, stderr], [42, "out\n", "err\n"]);
  await nothingLeft();
});

test("flags behind the image belong to the command", async () => {
  assert.equal((await trimaran.run("--rm", rootfs, "ls", "-d", "/tmp")).stdout, "/tmp\n");
});

test("a killed container ends with 128 + n", async () => {
  assert.equal((await trimaran.run("--rm", rootfs, "sh", "-c", "sh -c 'kill -9 $$'; exit $?")).code, 137);
});

test("127, 126 and 125 have one sentence each, and leave nothing", async () => {
  const missing = await trimaran.run("--name", "no", rootfs, "/nope");
  assert.equal(missing.code, 127);
  assert.match(missing.stderr, /^trimaran: run: [^\n]*\/nope[^\n]*\n$/);
  assert.equal((await trimaran.run(rootfs, "/etc/passwd")).code, 126);
  const noImage = await trimaran.run("/no/image.tar", "true");
  assert.deepEqual(
    [noImage.code, noImage.stderr.split("\n")[0]],
    [125, 'trimaran: run: image "/no/image.tar": no such directory or archive'],
  );
  assert.equal((await trimaran.call("run", "--nope", rootfs)).code, 125);
  assert.equal((await trimaran.call("nope")).code, 125);
  await nothingLeft();
});

test("a reader that has gone ends a listing as SIGPIPE would, without a word", async () => {
  const child = trimaran.start("ps");
  child.stdout?.destroy();
  child.stdin?.end();
  const words: Buffer[] = [];
  child.stderr?.on("data", (chunk: Buffer) => words.push(chunk));
  const [code] = await once(child, "close");
  assert.deepEqual([code, Buffer.concat(words).toString()], [141, ""]);
});

test("stdin arrives whole, and large output too", async () => {
  const bytes = Buffer.alloc(3_000_000, "0123456789\n");
  const { code, stdout } = await trimaran.with(bytes, "run", "--runtime", RUNTIME, "--rm", "-i", rootfs, "cat");
  assert.equal(code, 0);
  assert.ok(stdout === bytes.toString("utf8"), `${stdout.length} bytes came back`);
});

test("user, directory, host name, environment, mount, limits", async () => {
  writeFileSync(join(trimaran.directory, "mounted"), "from the host\n");
  const options = [
    "--user",
    "bob",
    "--cwd",
    "/tmp",
    "--hostname",
    "h1",
    "--env",
    "A=b c",
    "--memory",
    "64m",
    "--pids-limit",
    "50",
  ];
  const mount = `type=bind,src=${trimaran.directory}/mounted,dst=/tmp/m,options=ro`;
  const script = "id -u; id -g; pwd; hostname; echo $A; cat /tmp/m; touch /tmp/m 2>/dev/null || echo read-only";
  const { stdout, stderr } = await trimaran.run("--rm", ...options, "--mount", mount, rootfs, "sh", "-c", script);
  assert.equal(stderr, "");
  assert.equal(stdout, "1000\n1001\n/tmp\nh1\nb c\nfrom the host\nread-only\n");
});

test("the rootfs directory is not changed, and a read-only one cannot be", async () => {
  assert.equal((await trimaran.run("--rm", rootfs, "touch", "/new")).code, 0);
  assert.equal((await trimaran.run("--rm", rootfs, "sh", "-c", "test -e /new")).code, 1);
  assert.notEqual((await trimaran.run("--rm", "--read-only", rootfs, "touch", "/new")).code, 0);
});

test("a detached container is found by later commands: ps, exec, logs, kill, rm", async () => {
  const command = "echo started; trap 'echo stopped; exit 3' TERM; sleep 1000 & wait";
  const started = await trimaran.run("-d", "--name", "web", rootfs, "sh", "-c", command);
  assert.deepEqual([started.code, started.stdout, started.stderr], [0, "web\n", ""]);
  const [line = ""] = (await trimaran.call("ps", "--json")).stdout.split("\n");
  const { id, runtime, state, pid } = JSON.parse(line);
  assert.deepEqual([id, runtime, state], ["web", RUNTIME, "running"]);
  assert.ok(pid > 1);
  const exec = await trimaran.with(
    "typed\n",
    "exec",
    "-i",
    "--user",
    "bob",
    "--env",
    "X=1",
    "we",
    "sh",
    "-c",
    "cat; id -u; echo $X; exit 9",
  );
  assert.deepEqual([exec.code, exec.stdout], [9, "typed\n1000\n1\n"]);
  assert.equal((await trimaran.call("exec", "web", "/nope")).code, 127);
  assert.match((await trimaran.run("--name", "web", rootfs, "true")).stderr, /the id is taken/);
  const refused = await trimaran.call("rm", "web");
  assert.deepEqual([refused.code, refused.stderr.includes("try: trimaran rm -f web")], [125, true]);
  assert.equal((await trimaran.call("pause", "web")).stdout, "web\n");
  assert.match((await trimaran.call("ps")).stdout, /web\s+paused/);
  const again = await trimaran.call("pause", "web");
  assert.equal(again.code, 125);
  assert.match(again.stderr, /^trimaran: pause: [^\n]*paused?[^\n]*\n$/);
  assert.equal((await trimaran.call("resume", "web")).stdout, "web\n");
  assert.match((await trimaran.call("ps")).stdout, /web\s+running/);
  const following = finished(trimaran.start("logs", "-f", "web"));
  assert.equal((await trimaran.call("kill", "web")).stdout, "web\n");
  assert.equal((await following).stdout, "started\nstopped\n");
  assert.match((await trimaran.call("ps", "-a")).stdout, /web\s+exited \(3\)/);
  assert.equal((await trimaran.call("rm", "web")).code, 0);
  await nothingLeft();
});

test("an exec whose child keeps the output does not hang", async () => {
  await trimaran.run("-d", "--name", "bg", rootfs, "sleep", "1000");
  const { code, stdout } = await trimaran.call("exec", "bg", "sh", "-c", "sleep 1000 & echo done");
  assert.deepEqual([code, stdout], [0, "done\n"]);
  await trimaran.call("rm", "-f", "bg");
  await nothingLeft();
});

test("more input than a process reads before it fails: its reason is told, nothing hangs", {
  timeout: 30_000,
}, async () => {
  const large = join(trimaran.directory, "large");
  writeFileSync(large, Buffer.alloc(8 << 20));
  await trimaran.run("-d", "--name", "full", rootfs, "sleep", "1000");
  const failed = await trimaran.call("cp", large, "full:/proc/nope/x");
  assert.deepEqual([failed.code, /^trimaran: cp: .*\/proc\/nope/.test(failed.stderr)], [125, true]);
  assert.equal((await trimaran.call("cp", large, "full:/tmp/large")).code, 0);
  assert.match((await trimaran.call("exec", "full", "ls", "-l", "/tmp/large")).stdout, / 8388608 /);
  await trimaran.call("rm", "-f", "full");
  await nothingLeft();
});

test("Ctrl-C and --rm leave nothing, also with a deaf first process", async () => {
  const child = trimaran.start("run", "--runtime", RUNTIME, "--rm", rootfs, "sh", "-c", "echo up; sleep 1000");
  if (child.stdout) await once(child.stdout, "data");
  child.kill("SIGINT");
  assert.equal((await finished(child)).code, 137);
  await nothingLeft();
});

test("a shim that was killed: its container is gone, its exit known, its bundle removed", async () => {
  await trimaran.run("-d", "--name", "dead", rootfs, "sleep", "1000");
  const shims = readdirSync("/proc").filter((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      return (
        words[0]?.includes("containerd-shim") &&
        words.includes("dead") &&
        words.includes("trimaran-e2e") &&
        words.join(" ").includes(trimaran.directory)
      );
    } catch {
      return false;
    }
  });
  assert.equal(shims.length, 1);
  process.kill(Number(shims[0]), "SIGKILL");
  assert.match((await trimaran.call("ps", "-a")).stdout, /dead\s+exited \(137\)/);
  await trimaran.call("rm", "dead");
  await nothingLeft();
});
