import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type StartRequest, serveMonitors } from "./server.ts";
import { BUILDS, eventually, Installation, makeMonitor, NODE, Pod } from "./testing/pod.ts";
import { Program, serveProgram } from "./testing/program.ts";
import { Client } from "./testing/ttrpc.ts";

makeMonitor(...BUILDS);
const FAKE = [NODE, join(import.meta.dirname, "testing/fake-server.ts")];

for (const build of BUILDS) {
  test(`${build}: START carries argv, env, cwd and stdin; print's answer comes out`, async () => {
    await using at = new Installation(build);
    let seen: StartRequest | undefined;
    await using _server = serveMonitors(
      { path: join(at.dir, "server.sock") },
      {
        async start(request) {
          seen = request;
          return { kind: "print", code: 5, stdout: Buffer.alloc(300_000, "o"), stderr: Buffer.from("warned") };
        },
        monitor() {},
      },
    );
    const result = await at.run(["-id", "x", "-debug", "start"], Buffer.alloc(100_000, "i"));
    assert.deepEqual([result.code, result.stdout.length, result.stderr], [5, 300_000, "warned"]);
    assert.deepEqual(seen?.argv.slice(1), [
      "-namespace",
      "ns",
      "-address",
      "addr",
      "-publish-binary",
      "containerd",
      "-id",
      "x",
      "-debug",
      "start",
    ]);
    assert.equal(seen?.env.get("PATH"), "/usr/bin:/bin");
    assert.equal(seen?.cwd, at.bundle);
    assert.equal(seen?.stdin.length, 100_000);
  });

  test(`${build}: Go's flags in every form find the same place`, async () => {
    await using at = new Installation(build);
    await using _server = serveMonitors(
      { path: join(at.dir, "server.sock") },
      {
        start: async (r) => ({
          kind: "print",
          code: 0,
          stdout: Buffer.from(`${r.argv.length}`),
          stderr: Buffer.alloc(0),
        }),
        monitor() {},
      },
    );
    for (const args of [
      ["--debug", "-id=x", "--bundle=/b", "start"],
      ["-id", "-address", "-debug", "start"],
      ["-namespace=ns", "--address", "addr", "delete"],
    ]) {
      assert.equal((await at.run(args)).code, 0);
    }
  });

  test(`${build}: twenty starters at once make one task server`, { timeout: 60_000 }, async () => {
    await using at = new Installation(build, FAKE);
    const results = await Promise.all(Array.from({ length: 20 }, () => at.run(["-id", "pid", "start"])));
    assert.deepEqual(results.map((r) => r.stderr).filter(Boolean), []);
    assert.equal(new Set(results.map((r) => r.stdout.toString())).size, 1);
    assert.equal(results[0]?.stdout.toString(), `${at.serverPid()}`);
    assert.equal(statSync(join(at.dir, "server.sock")).mode & 0o777, 0o600);
    const status = readFileSync(`/proc/${at.serverPid()}/status`, "utf8");
    assert.match(status, /SigBlk:\s0+\n/);
    assert.match(status, new RegExp(`NSsid:\\s${at.serverPid()}\\n`), "a session of its own");
    const env = readFileSync(`/proc/${at.serverPid()}/environ`, "utf8").split("\0");
    assert.ok(env.includes(`TRIMARAN_DIR=${at.dir}`) && !env.some((e) => e.startsWith("ASAN_OPTIONS")));
  });

  test(`${build}: a task server that never greets is replaced after 5 s; the answer still comes`, {
    timeout: 30_000,
  }, async () => {
    await using at = new Installation(build, FAKE);
    const answer = at.run(["-id", "pid", "start"]);
    await eventually(() => at.serverPid() !== undefined);
    const mute = at.serverPid() ?? 0;
    process.kill(mute, "SIGSTOP");
    const result = await answer;
    assert.deepEqual([result.code, result.stderr], [0, ""]);
    assert.equal(result.stdout.toString(), `${at.serverPid()}`);
    assert.notEqual(at.serverPid(), mute);
    await eventually(() => !existsSync(`/proc/${mute}/exe`));
  });

  test(`${build}: serve makes the daemon; a second start joins by print`, async () => {
    await using pod = await Pod.open(build);
    assert.equal(pod.link.identity, "pod-1");
    const status = readFileSync(`/proc/${pod.link.pid}/status`, "utf8");
    assert.match(status, /Name:\tcontainerd-shim/);
    using client = await pod.connect();
    assert.equal(client.closed, false);
  });

  test(`${build}: a monitor's image that went with its task server is asked for again, and nobody listens any more`, async () => {
    await using at = new Installation(build);
    const goneBeforeExec = serveProgram(at.socket, at.environment, at.log, "/proc/2147483647/fd/3");
    let asked = 0;
    let connected: string | undefined;
    await using _server = serveMonitors(
      { path: join(at.dir, "server.sock") },
      {
        async start() {
          if (asked++ === 0) return { kind: "serve", stdout: Buffer.from("no"), program: goneBeforeExec };
          // A task server that finds somebody listening would tell the starter to print an address that is about to go.
          connected = await Client.open(at.socket).then(
            () => "connected",
            (error: NodeJS.ErrnoException) => error.code,
          );
          return { kind: "print", code: 0, stdout: Buffer.from("address"), stderr: Buffer.alloc(0) };
        },
        monitor() {},
      },
    );
    const { code, stdout, stderr } = await at.run(["-id", "x", "start"]);
    assert.deepEqual([code, stdout.toString(), stderr], [0, "address", ""]);
    assert.equal(connected, "ECONNREFUSED");
  });

  test(`${build}: a program that fails is an error with the step, exit 1`, async () => {
    await using at = new Installation(build);
    const before = new Program();
    before.open("/no/such", 0, 0);
    before.clone();
    before.exec(["/bin/true"]);
    const after = new Program();
    after.clone();
    after.exec(["/no/such/monitor"]);
    // What is not there may come with another answer, so it is asked for three times.
    const programs = [before, before, before, after, after, after].map((program) => program.encode());
    programs.push(Buffer.from("junk"));
    await using _server = serveMonitors(
      { path: join(at.dir, "server.sock") },
      {
        start: async () => ({
          kind: "serve",
          stdout: Buffer.from("address"),
          program: programs.shift() ?? Buffer.alloc(0),
        }),
        monitor() {},
      },
    );
    for (const text of [/program step 0: No such file/, /program step 1: No such file/, /bad program/]) {
      const result = await at.run(["-id", "x", "start"]);
      assert.deepEqual([result.code, result.stdout.toString()], [1, ""]);
      assert.match(result.stderr, text);
    }
  });

  test(`${build}: the caller is gone before it reads the address: the daemon is killed`, async () => {
    await using at = new Installation(build);
    let daemon = 0;
    let closed = false;
    const reader = Promise.withResolvers<void>();
    await using _server = serveMonitors(
      { path: join(at.dir, "server.sock") },
      {
        async start() {
          await reader.promise;
          return at.serveAnswer();
        },
        monitor(link) {
          daemon = link.pid;
          link.onClose = () => {
            closed = true;
          };
        },
      },
    );
    const child = spawn(at.exe, ["-namespace", "ns", "-address", "addr", "-id", "x", "start"], {
      env: { TRIMARAN_STATE: at.state, PATH: "/usr/bin:/bin", ASAN_OPTIONS: "detect_leaks=0" },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const exit = once(child, "exit");
    child.stdout.destroy();
    child.stdout.once("close", () => reader.resolve());
    assert.deepEqual(await exit, [1, null]);
    await eventually(() => daemon === 0 || closed);
    await assert.rejects(Client.open(at.socket));
  });

  test(`${build}: other words go to the task server's script`, async () => {
    await using at = new Installation(build, FAKE);
    const result = await at.run(["-info"]);
    assert.equal(result.code, 3);
    assert.equal(result.stdout.toString(), "script: -namespace ns -address addr -publish-binary containerd -info\n");
  });

  test(`${build}: a task server that cannot start is an error that names the log`, { timeout: 30_000 }, async () => {
    await using at = new Installation(build, ["/no/such/node", "x"]);
    const result = await at.run(["-id", "x", "start"]);
    assert.equal(result.code, 1);
    assert.match(result.stderr, /does not answer \(No such file or directory\); see .*server\.log/);
    await using crash = new Installation(build, ["/bin/false"]);
    const crashed = await crash.run(["-id", "x", "start"]);
    assert.equal(crashed.code, 1);
    assert.match(crashed.stderr, /see .*server\.log/);
  });
}
