import assert from "node:assert/strict";
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { OURS, Place, RUNC, Runtime, type Said } from "./testing/oci-runtime.ts";

let place: Place;
let folder: string;
before(() => {
  place = new Place();
  folder = place.folder;
});
after(() => place[Symbol.dispose]());
const configure: Place["configure"] = (script, change) => place.configure(script, change);

const LOOP = "trap 'exit 3' TERM; while :; do sleep 0.02; done";

/** What happens, in order: the words of errors are each runtime's own. */
async function live(runtime: Runtime, log: unknown[]): Promise<void> {
  const note = ({ code, out }: Said) => log.push([code, out]);
  configure("echo hello; id -u; exit 7");
  note(runtime.run("run", "once"));
  log.push(readdirSync(runtime.root).filter((name) => name === "once"));
  configure(LOOP);
  log.push(runtime.quiet("create", "c"), runtime.status("c"));
  log.push(runtime.run("create", "c").code);
  note(runtime.run("exec", "c", "sh", "-c", "echo early"));
  log.push(runtime.run("start", "c").code, runtime.status("c"), runtime.run("start", "c").code);
  note(
    runtime.run(
      "exec",
      "--user",
      "5:6",
      "--env",
      "A=b",
      "--cwd",
      "/bin",
      "c",
      "sh",
      "-c",
      "id -u; id -g; pwd; echo $A",
    ),
  );
  note(runtime.feed("piped", "exec", "c", "cat"));
  note(runtime.run("exec", "c", "sh", "-c", "exit 42"));
  note(runtime.run("exec", "c", "sh", "-c", "kill -9 $$"));
  note(runtime.run("exec", "c", "nonesuch"));
  const file = join(folder, "process.json");
  writeFileSync(file, JSON.stringify({ args: ["sh", "-c", "echo $B"], cwd: "/", env: ["B=from file", "PATH=/bin"] }));
  note(runtime.run("exec", "--process", file, "c"));
  log.push((JSON.parse(runtime.run("ps", "--format", "json", "c").out) as number[]).length >= 1);
  log.push(runtime.run("pause", "c").code, runtime.status("c"), runtime.run("exec", "c", "true").code);
  log.push(runtime.run("resume", "c").code, runtime.status("c"), runtime.run("resume", "c").code);
  log.push(runtime.run("update", "--memory", "50000000", "c").code);
  note(runtime.run("list", "--quiet"));
  log.push(runtime.run("delete", "c").code);
  log.push(runtime.run("kill", "c", "TERM").code);
  await runtime.until("c", "stopped");
  log.push(
    runtime.run("kill", "c", "TERM").code,
    runtime.run("exec", "c", "true").code,
    runtime.run("start", "c").code,
  );
  log.push(
    runtime.run("delete", "c").code,
    runtime.run("delete", "c").code,
    runtime.run("delete", "--force", "c").code,
  );
  log.push(runtime.quiet("run", "--detach", "d"), runtime.status("d"));
  log.push(runtime.run("delete", "--force", "d").code, runtime.status("d"));
  log.push(runtime.quiet("create", "e"), runtime.run("delete", "e").code, runtime.status("e"));
  log.push(runtime.run("state", "nobody").code, runtime.run("kill", "nobody").code, runtime.run("create", "a/b").code);
  log.push(runtime.run("nonsense").code === 0, runtime.run("create", "--nonsense", "x").code);
}

test("the same script through runc and through us", async () => {
  const [ours, theirs]: [unknown[], unknown[]] = [[], []];
  await live(new Runtime(place, OURS, "ours"), ours);
  await live(new Runtime(place, RUNC, "runc"), theirs);
  assert.deepEqual(ours, theirs);
});

test("state: the specification's fields, runc's besides; pid-file; the gate; nothing is left", async () => {
  const runtime = new Runtime(place, OURS, "state");
  configure("echo ran > /tmp/ran", (spec) => Object.assign(spec, { annotations: { a: "b" } }));
  const pidFile = join(folder, "pid");
  assert.equal(runtime.quiet("create", "--pid-file", pidFile, "web"), 0);
  const { created, ...state } = JSON.parse(runtime.run("state", "web").out) as Record<string, unknown>;
  assert.deepEqual(state, {
    ociVersion: "1.3.0",
    id: "web",
    pid: Number(readFileSync(pidFile, "utf8")),
    status: "created",
    bundle: runtime.bundle,
    rootfs: join(runtime.bundle, "rootfs"),
    annotations: { a: "b" },
    owner: "root",
  });
  assert.ok(Math.abs(Date.now() - Date.parse(String(created))) < 60_000);
  assert.equal(existsSync(join(runtime.bundle, "rootfs/tmp/ran")), false);
  assert.equal(runtime.run("start", "web").code, 0);
  await runtime.until("web", "stopped");
  assert.equal(readFileSync(join(runtime.bundle, "rootfs/tmp/ran"), "utf8"), "ran\n");
  assert.equal(runtime.run("delete", "web").code, 0);
  assert.deepEqual(readdirSync(runtime.root), []);
});

test("a create that fails leaves nothing, and says why: in words, and in the log", () => {
  const runtime = new Runtime(place, OURS, "failing");
  const log = join(folder, "log");
  const create = () => runtime.run("--log", log, "--log-format", "json", "create", "bad");
  const cases: [() => void, RegExp][] = [
    [() => configure("true", (spec) => (spec.process.args = ["nonesuch"])), /executable file not found in \$PATH/],
    [
      () => configure("true", (spec) => (spec.process.cwd = "relative")),
      /process\.cwd "relative": not an absolute path/,
    ],
    [
      () =>
        configure("true", (spec) =>
          spec.mounts.push({ destination: "/m", type: "bind", source: "/nonexistent", options: ["bind"] }),
        ),
      /mounts\[7\] "\/m": source does not exist \(ENOENT from open_tree\)/,
    ],
    [
      () => configure("true", (spec) => Object.assign(spec, { hooks: { createRuntime: [{ path: "/bin/false" }] } })),
      /hooks\.createRuntime\[0\] "\/bin\/false": exited with status 1/,
    ],
    [
      () => configure("true", (spec) => Object.assign(spec.linux, { cgroupsPath: "system.slice:a:b" })),
      /linux\.cgroupsPath "system\.slice:a:b": systemd's slice:prefix:name form needs the systemd cgroup driver/,
    ],
    [() => configure("true", (spec) => (spec.process.terminal = true)), /without setting console socket/],
  ];
  for (const [prepare, message] of cases) {
    prepare();
    rmSync(log, { force: true });
    const { code, error } = create();
    assert.equal(code, 1);
    assert.match(error, message);
    const entry = JSON.parse(readFileSync(log, "utf8").trim()) as { level: string; msg: string };
    assert.equal(entry.level, "error");
    assert.match(entry.msg, message);
    assert.deepEqual(existsSync(runtime.root) ? readdirSync(runtime.root) : [], []);
  }
  configure("true", (spec) => Object.assign(spec.linux, { cgroupsPath: "system.slice:a:b" }));
  assert.match(runtime.run("--systemd-cgroup", "create", "x").error, /systemd does not run here/);
  assert.deepEqual(readdirSync(runtime.root), []);
});

test("hooks: all six, in the order of the specification, with its statuses", async () => {
  const runtime = new Runtime(place, OURS, "hooks");
  const trace = join(folder, "trace");
  const hook = (name: string, file = trace) => [
    {
      path: "/bin/sh",
      args: ["sh", "-c", `echo ${name} $(grep -o '"status":"[a-z]*"') >> ${file}`],
      env: ["PATH=/usr/bin:/bin"],
    },
  ];
  configure("cat /tmp/trace", (spec) => {
    const outside = ["prestart", "createRuntime", "createContainer", "poststart", "poststop"];
    const hooks = Object.fromEntries(outside.map((name) => [name, hook(name)]));
    const inside = [{ path: "/bin/sh", args: ["sh", "-c", "cat > /tmp/trace"], env: [] }];
    Object.assign(spec, { hooks: { ...hooks, startContainer: inside } });
  });
  const { code, out } = runtime.run("run", "h");
  assert.equal(code, 0);
  assert.equal((JSON.parse(out) as { status: string }).status, "created");
  assert.deepEqual(readFileSync(trace, "utf8").trim().split("\n"), [
    'prestart "status":"creating"',
    'createRuntime "status":"creating"',
    'createContainer "status":"creating"',
    'poststart "status":"running"',
    'poststop "status":"stopped"',
  ]);
});

test("fds: none of ours, those that --preserve-fds names, LISTEN_FDS", () => {
  const runtime = new Runtime(place, OURS, "fds");
  configure("ls /proc/self/fd; cat <&4; echo $LISTEN_FDS $LISTEN_PID");
  writeFileSync(join(folder, "four"), "from fd four\n");
  const words = (before: string, ...flags: string[]) =>
    execFileSync(
      "sh",
      [
        "-c",
        `${before} exec "$@" 3</dev/null 4<${join(folder, "four")} 5</dev/null`,
        "sh",
        ...runtime.argv,
        "run",
        ...flags,
        "f",
      ],
      { encoding: "utf8", cwd: runtime.bundle },
    );
  assert.equal(words("", "--preserve-fds", "2"), "0\n1\n2\n3\n4\n5\nfrom fd four\n\n"); // 5 is ls's own
  assert.equal(words("LISTEN_FDS=2"), "0\n1\n2\n3\n4\n5\nfrom fd four\n2 1\n");
});

/** Run a command line on a terminal of its own. */
function onTerminal(runtime: Runtime, ...words: string[]): string {
  const line = [...runtime.argv, ...words].join(" ");
  const { stdout } = spawnSync("script", ["-qec", line, "/dev/null"], { encoding: "utf8", cwd: runtime.bundle });
  return stdout.replaceAll("\r", "");
}

test("process.consoleSize is the terminal's; a side of 0 is as if absent", () => {
  const size = (consoleSize: object | undefined) => {
    configure("stty size", (spec) => Object.assign(spec.process, { terminal: true, consoleSize }));
    return onTerminal(new Runtime(place, OURS, "size"), "run", "s");
  };
  assert.equal(size({ height: 33, width: 77 }), "33 77\n");
  const inherited = size(undefined);
  assert.notEqual(inherited, "33 77\n");
  assert.equal(size({ height: 0, width: 77 }), inherited);
});

test("first specs: ours and runc's, each by both", () => {
  const runtimes = [new Runtime(place, OURS, "spec"), new Runtime(place, RUNC, "spec-runc")];
  const config = join(folder, "bundle/config.json");
  for (const writer of runtimes) {
    rmSync(config, { force: true });
    assert.equal(writer.run("spec").code, 0);
    const spec = JSON.parse(readFileSync(config, "utf8"));
    spec.process.args = ["sh", "-c", "tty; id -u"]; // as it is: on a terminal, with a read-only root
    writeFileSync(config, JSON.stringify(spec));
    for (const runner of runtimes) assert.match(onTerminal(runner, "run", "s"), /\/dev\/pts\/0\n0\n$/);
  }
});

test("init is the caller's subreaper's child, and so is an exec: whoever waits sees how they end", async () => {
  const runtime = new Runtime(place, OURS, "reaper");
  configure("exit 11");
  const pidFile = join(folder, "pid-r");
  const parentOf = (pid: string) => readFileSync(`/proc/${pid}/stat`, "latin1").split(") ")[1]?.split(" ")[1];
  assert.equal(runtime.quiet("create", "--pid-file", pidFile, "r"), 0);
  const parent = parentOf(readFileSync(pidFile, "utf8"));
  assert.equal(readFileSync(`/proc/${parent}/comm`, "utf8").includes("monitor"), false);
  const execFile = join(folder, "pid-e");
  assert.equal(runtime.quiet("exec", "--detach", "--pid-file", execFile, "r", "sleep", "5"), 0);
  assert.equal(parentOf(readFileSync(execFile, "utf8")), parent);
  assert.equal(runtime.run("delete", "--force", "r").code, 0);
});

test("a command that is killed in the foreground leaves a container that can be deleted", async () => {
  const runtime = new Runtime(place, OURS, "killed");
  configure(LOOP);
  const [file = "", ...args] = runtime.argv;
  const child: ChildProcess = spawn(file, [...args, "run", "k"], { stdio: "ignore", cwd: runtime.bundle });
  await runtime.until("k", "running");
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.equal(runtime.status("k"), "running");
  assert.equal(runtime.run("exec", "k", "true").code, 0);
  assert.equal(runtime.run("delete", "--force", "k").code, 0);
  assert.deepEqual(readdirSync(runtime.root), []);
});

test("delete --force of a container that a run waits for: both succeed, it is gone", async () => {
  const runtime = new Runtime(place, OURS, "both");
  const up = join(runtime.bundle, "rootfs/tmp/up");
  configure(`echo > /tmp/up; ${LOOP}`);
  const [file = "", ...args] = runtime.argv;
  for (const id of ["a", "b", "c"]) {
    const child: ChildProcess = spawn(file, [...args, "run", id], {
      stdio: ["ignore", "ignore", "inherit"],
      cwd: runtime.bundle,
    });
    for (let tries = 0; !existsSync(up); tries++) {
      assert.ok(tries < 200, "the program does not run");
      await delay(20);
    }
    rmSync(up);
    const ended = once(child, "exit");
    assert.deepEqual(runtime.run("delete", "--force", id), { code: 0, out: "", error: "" });
    assert.deepEqual(await ended, [137, null]);
  }
  assert.deepEqual(readdirSync(runtime.root), []);
});

test("a create that is killed on its way leaves nothing that delete does not find", async () => {
  const runtime = new Runtime(place, OURS, "half");
  const sign = join(folder, "hook-runs");
  const hook = { path: "/bin/sh", args: ["sh", "-c", `echo > ${sign}; exec sleep 3`] };
  configure("true", (spec) => Object.assign(spec, { hooks: { createRuntime: [hook] } }));
  const [file = "", ...args] = runtime.argv;
  const child: ChildProcess = spawn(file, [...args, "create", "half"], { stdio: "ignore", cwd: runtime.bundle });
  for (let tries = 0; !existsSync(sign); tries++) {
    assert.ok(tries < 100, "the hook does not run");
    await delay(20);
  }
  child.kill("SIGKILL");
  await once(child, "exit");
  const cgroups = () => globSync("/sys/fs/cgroup/{,*/}**/half", { exclude: (path) => path.startsWith("process_api") });
  assert.notDeepEqual(cgroups(), []);
  assert.equal(runtime.status("half"), "none");
  assert.equal(runtime.run("delete", "half").code, 0);
  assert.deepEqual(cgroups(), []);
  assert.deepEqual(readdirSync(runtime.root), []);
  assert.equal(runtime.run("delete", "half").code, 1);
});

test("a command that stands still for seconds, as on a slow machine, goes on", () => {
  const runtime = new Runtime(place, OURS, "slow");
  const pause = "exec >/dev/null 2>&1; kill -STOP $PPID; sleep 3; kill -CONT $PPID"; // its parent is the command
  const hook = { path: "/bin/sh", args: ["sh", "-c", pause], env: ["PATH=/usr/bin:/bin"] };
  configure("echo ran", (spec) => Object.assign(spec, { hooks: { createRuntime: [hook] } }));
  const { code, out, error } = runtime.run("run", "slow");
  assert.deepEqual([code, out], [0, "ran\n"], error);
  assert.deepEqual(readdirSync(runtime.root), []);
});

test("SCMP_ACT_NOTIFY: the agent at listenerPath is told whose listener it gets", async () => {
  const runtime = new Runtime(place, OURS, "notify");
  const path = join(folder, "agent.sock");
  const told: string[] = [];
  const agent = createServer((socket) => socket.on("data", (data) => told.push(String(data)))).listen(path); // takes no fd: it is closed
  const seccomp = {
    defaultAction: "SCMP_ACT_ALLOW",
    listenerPath: path,
    listenerMetadata: "for the agent",
    syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY" }],
  };
  configure("mkdir /tmp/x 2>&1; true", (spec) => Object.assign(spec.linux, { seccomp }));
  const { stdout } = await promisify(execFile)(runtime.argv[0] ?? "", [...runtime.argv.slice(1), "run", "n"], {
    cwd: runtime.bundle,
  });
  assert.match(stdout, /Function not implemented/); // what the kernel says when the listener is closed
  agent.close();
  const state = JSON.parse(told.join("")) as { pid: number; state: { pid: number } };
  assert.ok(state.pid > 0);
  assert.deepEqual(state, {
    ociVersion: "1.0.2",
    fds: ["seccompFd"],
    pid: state.pid,
    metadata: "for the agent",
    state: { ociVersion: "1.0.2", id: "n", status: "creating", pid: state.pid, bundle: runtime.bundle },
  });
  configure("true", (spec) => Object.assign(spec.linux, { seccomp: { ...seccomp, listenerPath: `${path}.none` } }));
  assert.match(runtime.run("run", "n").error, /linux\.seccomp\.listenerPath ".*none": cannot be reached \(ENOENT\)/);
  const { listenerPath: _, listenerMetadata: __, ...without } = seccomp;
  configure("true", (spec) => Object.assign(spec.linux, { seccomp: without }));
  assert.match(runtime.run("run", "n").error, /linux\.seccomp\.listenerPath: missing/);
});

test("delete from a directory that is gone", () => {
  const runtime = new Runtime(place, OURS, "gone");
  const gone = mkdtempSync(join(folder, "gone-"));
  const words = [...runtime.argv, "delete", "--force", "nobody"];
  const { status, stderr } = spawnSync("sh", ["-c", 'rmdir "$PWD"; exec "$@"', "sh", ...words], {
    cwd: gone,
    encoding: "utf8",
  });
  assert.equal(status, 0, stderr);
});

test("features, spec, version, help", () => {
  const runtime = new Runtime(place, OURS, "look");
  const features = JSON.parse(runtime.run("features").out) as { hooks: string[]; linux: { mountExtensions: unknown } };
  assert.equal(features.hooks.length, 6);
  assert.deepEqual(features.linux.mountExtensions, { idmap: { enabled: true } });
  const bundle = join(folder, "new");
  mkdirSync(bundle);
  assert.equal(runtime.run("spec", "--bundle", bundle).code, 0);
  assert.match(runtime.run("spec", "--bundle", bundle).error, /exists\. Remove it first/);
  assert.equal(
    (JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as { ociVersion: string }).ociVersion,
    "1.0.2",
  );
  assert.match(runtime.run("--version").out, /^trimaran-oci version /);
  const words = ["oci", "--version"]; // the same by the command's own name
  assert.match(execFileSync(join(OURS[0] ?? "", "../trimaran"), words, { encoding: "utf8" }), /^trimaran-oci version /);
  assert.match(runtime.run("--help").out, /^Example: /);
});
