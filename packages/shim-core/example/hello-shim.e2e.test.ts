import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, cpSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { readdir, readFile, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { FakeContainerd, runDelete, Shim, type StartStyle } from "@trimaran/shim-check";
import { build } from "esbuild";
import { Code } from "ttrpc-ts";
import { cgroupsOf, filesOf, mountsOf, processesOf } from "../../../e2e/harness/belongings.ts";

const ROOT = join(import.meta.dirname, "../../..");
const PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const NAME = "containerd-shim-hello-v1";

/** The layout that the README describes. Returns the binary's path. */
async function install(into: string): Promise<string> {
  const library = join(into, "lib/trimaran");
  mkdirSync(library, { recursive: true });
  mkdirSync(join(into, "bin"));
  execFileSync("make", ["-s", "-C", `${ROOT}/packages/monitor/c`, `OUT=${into}/monitor`, `${into}/monitor/monitor`]);
  cpSync(join(into, "monitor/monitor"), join(into, "bin", NAME));
  const script = join(library, "hello-shim.js");
  const require = 'import { createRequire as __c } from "node:module"; const require = __c(import.meta.url);';
  await build({
    entryPoints: [join(import.meta.dirname, "hello-shim.ts")],
    outfile: script,
    bundle: true,
    platform: "node",
    format: "esm",
    external: ["koffi"],
    banner: { js: require },
  });
  writeFileSync(join(library, "package.json"), '{ "type": "module" }\n');
  for (const path of ["koffi", `@koromix/koffi-linux-${process.arch}`])
    cpSync(join(ROOT, "node_modules", path), join(library, "node_modules", path), { recursive: true });
  writeFileSync(join(library, `${NAME}.cmd`), `${process.execPath}\n${script}\n`);
  return join(into, "bin", NAME);
}

/** End the read of a FIFO that nobody has written to: a failed test must not hang. */
function releaseReader(path: string): void {
  try {
    closeSync(openSync(path, constants.O_WRONLY | constants.O_NONBLOCK));
  } catch {
    // nobody reads
  }
}

/** A process as containerd describes it. `cwd` is there because the spec demands it. */
const ociProcess = (args: readonly string[], terminal = false) => ({
  args,
  terminal,
  cwd: "/",
  env: ["PATH=/usr/bin:/bin"],
  user: { uid: 0, gid: 0 },
});

describe("the hello shim, without containerd", { timeout: 60_000 }, () => {
  let containerd: FakeContainerd;
  let tag: string;
  let binary: string;
  const ids: string[] = [];
  const fifos: string[] = [];
  const shims: Shim[] = [];

  before(async () => {
    containerd = await FakeContainerd.open();
    tag = containerd.dir.slice("/tmp/".length);
    binary = await install(join(containerd.dir, "installed"));
  });
  after(async () => {
    for (const shim of shims) await shim[Symbol.asyncDispose]();
    for (const path of fifos) releaseReader(path);
    for (const file of await readdir(join(containerd.dir, "t")))
      if (file !== "cache") await endTaskServer(join(containerd.dir, "t", file, "server.pid"));
    await nothingIsLeft();
    // a container that outlived its task server does not know that it made the namespace's folder
    for (const name of await readdir("/sys/fs/cgroup"))
      await rmdir(join("/sys/fs/cgroup", name, tag)).catch(() => undefined);
    await containerd[Symbol.asyncDispose]();
  });

  /** The one process that may stay for a while when all containers have gone. */
  async function endTaskServer(file: string): Promise<void> {
    const [pid = ""] = (await readFile(file, "utf8")).split(" ");
    if ((await readFile(`/proc/${pid}/environ`, "utf8").catch(() => "")).includes(tag))
      process.kill(Number(pid), "SIGKILL");
  }

  async function nothingIsLeft(): Promise<void> {
    const scope = { tag, dir: containerd.dir, namespace: tag, address: containerd.address, ids };
    for (const until = Date.now() + 5000; ; await delay(20)) {
      const processes = (await processesOf(scope)).filter(({ state }) => state !== "Z"); // one for PID 1 to reap
      const left = [...processes, ...(await cgroupsOf(scope)), ...(await filesOf(scope)), ...(await mountsOf(scope))];
      if (left.length === 0) return;
      assert.ok(Date.now() < until, `left behind: ${JSON.stringify(left)}`);
    }
  }

  /** Make a bundle and FIFOs, run `start`. */
  async function start(args: readonly string[], { style = "2.1" as StartStyle, terminal = false } = {}) {
    const id = `${tag}-${ids.length}`;
    ids.push(id);
    const bundle = join(containerd.dir, id);
    mkdirSync(join(bundle, "rootfs"), { recursive: true });
    const spec = {
      ociVersion: "1.0.2",
      process: ociProcess(args, terminal),
      root: { path: "rootfs" },
      linux: { cgroupsPath: `/${tag}/${id}`, namespaces: [{ type: "mount" }] }, // which this shim does not make
    };
    writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
    const fifo = (name: string): string => {
      execFileSync("mkfifo", [join(bundle, name)]);
      fifos.push(join(bundle, name));
      return join(bundle, name);
    };
    fifo("log");
    const env = { TRIMARAN_STATE: join(containerd.dir, "t") };
    const shim = await Shim.start({ binary, style, containerd, namespace: tag, id, bundle, env });
    shims.push(shim);
    return { id, bundle, shim, task: shim.task, fifo };
  }

  for (const style of ["1.6", "2.1", "2.3"] as const)
    test(`create, start, exec, output, kill, wait, delete, shutdown; as containerd ${style}`, async () => {
      const { id, bundle, shim, task, fifo } = await start(["sh", "-c", "pwd; sleep 1000"], { style });
      const stdout = fifo("stdout");
      const output = readFile(stdout, "utf8");
      const { pid } = await task.create({ id, bundle, stdout });
      const wait = task.wait({ id });
      assert.deepEqual(await task.start({ id }), { pid });

      const stdin = fifo("exec-in");
      const echoed = fifo("exec-out");
      const spec = { typeUrl: PROCESS, value: Buffer.from(JSON.stringify(ociProcess(["sh", "-c", "cat; exit 5"]))) };
      await task.exec({ id, execId: "one", spec, stdin, stdout: echoed });
      const answer = readFile(echoed, "utf8");
      const exec = await task.start({ id, execId: "one" });
      const pids = new Set((await task.pids({ id })).processes.map((process) => process.pid));
      assert.ok(pids.has(pid) && pids.has(exec.pid));
      writeFileSync(stdin, "hello, shim\n");
      await task.closeIO({ id, execId: "one", stdin: true });
      assert.equal((await task.wait({ id, execId: "one" })).exitStatus, 5);
      assert.equal((await task.delete({ id, execId: "one" })).exitStatus, 5);
      assert.equal(await answer, "hello, shim\n");

      await assert.rejects(task.delete({ id }), { code: Code.FailedPrecondition });
      assert.equal((await task.stats({ id })).stats?.value.length !== 0, true);
      await task.kill({ id, signal: 15 });
      assert.equal((await wait).exitStatus, 143);
      assert.equal((await task.pids({ id })).processes.length, 0);
      const deleted = await shim.remove();
      assert.deepEqual([deleted.pid, deleted.exitStatus], [pid, 143]);
      assert.equal(await output, `${bundle}/rootfs\n`);
      const topics = containerd.events.splice(0).map(({ topic }) => topic.slice("/tasks/".length));
      assert.deepEqual(topics, ["create", "start", "exec-added", "exec-started", "exit", "exit", "delete"]);
    });

  test("a terminal", async () => {
    const { id, bundle, shim, task, fifo } = await start(["sh", "-c", "test -t 0 && stty size"], { terminal: true });
    const stdout = fifo("stdout");
    const output = readFile(stdout, "utf8");
    await task.create({ id, bundle, stdout, terminal: true });
    await task.resizePty({ id, width: 91, height: 17 });
    await task.start({ id });
    assert.equal((await task.wait({ id })).exitStatus, 0);
    await shim.remove();
    assert.equal(await output, "17 91\r\n");
  });

  test("what can't be run is an error of Create that names it, and leaves nothing", async () => {
    const { id, bundle, shim, task } = await start(["/nope"]);
    await assert.rejects(task.create({ id, bundle }), { message: /process\.args\[0\] "\/nope".*no such file/ });
    await assert.rejects(task.create({ id, bundle, stdout: `${bundle}/nope` }), { message: /stdout/ });
    await shim.close();
  });

  test("what has left its parent, its group and its session ends with init, too", async () => {
    const { id, bundle, shim, task } = await start(["sh", "-c", "setsid sleep 1000 & exit 3"]);
    await task.create({ id, bundle });
    await task.start({ id });
    assert.equal((await task.wait({ id })).exitStatus, 3);
    assert.deepEqual((await task.pids({ id })).processes, []);
    await shim.remove();
  });

  test("the task server is killed, and the shim killed by delete: the container's end comes through", async () => {
    const { id, bundle, shim, task } = await start(["sleep", "1000"]);
    const { pid } = await task.create({ id, bundle });
    await task.start({ id });
    for (const file of await readdir(join(containerd.dir, "t")))
      if (file !== "cache") await endTaskServer(join(containerd.dir, "t", file, "server.pid"));
    assert.equal((await task.state({ id })).pid, pid);
    await shim.close();
    assert.equal((await runDelete(shim.options)).exitStatus, 137, "again");
  });
});

test("the README shows this example, word for word", async () => {
  const readme = await readFile(join(import.meta.dirname, "../README.md"), "utf8");
  const code = /```ts\n(.*?)```/s.exec(readme)?.[1];
  assert.equal(code, readFileSync(join(import.meta.dirname, "hello-shim.ts"), "utf8"));
  assert.ok((code ?? "").split("\n").length <= 60);
});
