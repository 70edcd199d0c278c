import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, readFileSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { loadSyscalls } from "./syscalls.ts";

const syscalls = loadSyscalls();
/** glibc ignores its own two, 32 and 33, in what it spawns. */
const GLIBC_OWN = 0x180000000n;
const O_CLOEXEC = 0o2000000;
const compare = (a: number, b: number) => a - b;

/** Runs a shell, its stdout in a file in memory. */
function shell(line: string, input?: string) {
  const [stdin, output] = [
    syscalls.memoryFile("in", input === undefined ? undefined : Buffer.from(input)),
    syscalls.memoryFile("out"),
  ];
  const child = syscalls.spawn({
    path: "/bin/sh",
    args: ["-c", line],
    cwd: "/",
    environment: { PATH: process.env.PATH, A: "b", NOT: undefined },
    stdio: [stdin, output, output],
  });
  const read = () => {
    const bytes = Buffer.alloc(65536);
    return bytes.toString("utf8", 0, readSync(output, bytes, 0, bytes.length, 0));
  };
  const ended = child.ended.finally(() => closeSync(stdin));
  return { child, ended: ended.then((end) => ({ ...end, output: read() })).finally(() => closeSync(output)) };
}

test("a program has its arguments, environment, directory, stdin, and a session of its own", async () => {
  const { child, ended } = shell("cat; env | grep -E '^(A|NOT)='; pwd; ps -o pid=,sid= -p $$", "input\n");
  const { code, output } = await ended;
  assert.equal(code, 0);
  const [input, env, cwd, ids = ""] = output.split("\n");
  assert.deepEqual([input, env, cwd], ["input", "A=b", "/"]);
  assert.deepEqual(ids.trim().split(/\s+/).map(Number), [child.pid, child.pid]);
});

test("exit statuses, signals, and a kill", async () => {
  assert.equal((await shell("exit 7").ended).code, 7);
  const aborted = await shell("kill -ABRT $$").ended;
  assert.deepEqual([aborted.code, aborted.signal], [undefined, "SIGABRT"]);
  const { child, ended } = shell("exec sleep 100");
  child.kill();
  assert.equal((await ended).signal, "SIGKILL");
  child.kill(); // the pid may be another's by now
});

test("it inherits no descriptor besides the three, and no ignored or blocked signal", async () => {
  const file = openSync("/dev/null", "r");
  try {
    const { output } = await shell("ls /proc/$$/fd; grep -E 'SigBlk|SigIgn' /proc/$$/status").ended;
    const lines = output.trim().split("\n");
    const fds = lines.filter((line) => /^\d+$/.test(line)).map(Number);
    assert.deepEqual(fds.sort(compare), [0, 1, 2, ...strays()].sort(compare));
    for (const line of lines.filter((each) => each.startsWith("Sig")))
      assert.equal(BigInt(`0x${line.split("\t")[1]}`) & ~GLIBC_OWN, 0n, line);
  } finally {
    closeSync(file);
  }
});

/** What this process itself was given and nobody has marked. */
function strays(): number[] {
  const fds = readdirSync("/proc/self/fd")
    .map(Number)
    .filter((fd) => fd > 2 && existsSync(`/proc/self/fdinfo/${fd}`));
  const flags = (fd: number) =>
    Number.parseInt(/flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "", 8);
  return fds.filter((fd) => (flags(fd) & O_CLOEXEC) === 0);
}

test("what can't be started says why", () => {
  const directory = mkdtempSync(join(tmpdir(), "trimaran-"));
  try {
    const start = (path: string, cwd: string) => () => {
      const fd = syscalls.memoryFile("x");
      try {
        syscalls.spawn({ path, args: [], cwd, environment: {}, stdio: [fd, fd, fd] });
      } finally {
        closeSync(fd);
      }
    };
    assert.throws(start("/nonexistent", "/"), { code: "ENOENT", message: "/nonexistent: ENOENT from posix_spawn" });
    assert.throws(start(directory, "/"), { code: "EACCES" });
    assert.throws(start("/bin/true", "/nonexistent"), { code: "ENOENT" });
  } finally {
    rmSync(directory, { recursive: true });
  }
  assert.equal(process.listenerCount("SIGCHLD"), 0, "nobody waits");
});

test("many at once, beside Node's own children; then nobody listens any more, and no zombie is left", async () => {
  const own = Array.from({ length: 50 }, (_, at) => shell(`exit ${at}`).ended);
  const nodes = Array.from({ length: 5 }, () => promisify(execFile)("/bin/true"));
  assert.deepEqual(
    (await Promise.all(own)).map(({ code }) => code),
    Array.from({ length: 50 }, (_, at) => at),
  );
  await Promise.all(nodes);
  assert.equal(process.listenerCount("SIGCHLD"), 0);
  assert.equal(readFileSync(`/proc/self/task/${process.pid}/children`, "utf8"), "");
});
