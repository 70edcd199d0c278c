import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { ANY, containerd, packAny } from "@trimaran/proto";
import { ensureRecentCriu } from "../tools/debian.ts";
import { ociProcess } from "./harness/bundle.ts";
import { COUNT, createCounter as create } from "./harness/counter.ts";
import { killTaskServers, leftBehind } from "./harness/left-behind.ts";
import { PATIENCE } from "./harness/patience.ts";
import { runOk } from "./harness/process.ts";
import { ShimYard, type StartedShim, shimKinds } from "./harness/shims.ts";
import { slowCriu } from "./harness/slow-criu.ts";

const SPEC = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const RUNNING = 2;
const PAUSED = 4;
const UNIMPLEMENTED = 12;
const criu = await ensureRecentCriu();
const kinds = (await shimKinds()).filter(({ isControl, style }) => isControl || style === "2.3");

for (const kind of kinds) {
  describe(`checkpoint: ${kind.name}`, { timeout: 240_000 * PATIENCE }, () => {
    let yard: ShimYard;
    const open = async (path: string) => {
      yard = await ShimYard.open({ ...kind, path });
    };
    beforeEach(() => open(`${dirname(criu)}:${kind.path}`));
    afterEach(async () => {
      const left = kind.isControl ? [] : await leftBehind(yard); // upstream's leaves cgroups of what it restores
      await yard[Symbol.asyncDispose]();
      assert.deepEqual(left, []);
    });
    const testOurs = (name: string, body: () => Promise<void>) => {
      if (!kind.isControl) test(name, body);
    };
    const image = (name = "image") => join(yard.containerd.dir, name);
    const countTo = async (number: number) => {
      const container = await yard.start(COUNT);
      const out = await create(yard, container);
      await container.shim.task.start({ id: container.id });
      await out.reached(number);
      return { ...container, out, task: container.shim.task };
    };
    /** Save a counter and end it: how far it came. */
    const saved = async (path: string) => {
      const container = await countTo(3);
      await container.task.checkpoint({ id: container.id, path, options: options({ exit: true }) });
      await container.task.wait({ id: container.id });
      await container.shim.remove();
      await container.out.ended;
      return container.out.last();
    };

    test("a checkpoint leaves it running; another ends it; a restore goes on counting", async () => {
      const { id, task, out, shim } = await countTo(3);
      await task.checkpoint({ id, path: image() });
      assert.equal((await task.state({ id })).status, RUNNING);
      await out.reached(out.last() + 3);
      await task.checkpoint({ id, path: image("2"), options: options({ exit: true }) });
      assert.equal((await task.wait({ id })).exitStatus, 137);
      await shim.remove();
      await out.ended;
      const counted = out.last();
      const second = await yard.start(COUNT);
      const restored = await create(yard, second, image("2"));
      assert.equal((await second.shim.task.state({ id: second.id })).pid, 0);
      const { pid } = await second.shim.task.start({ id: second.id });
      assert.ok(pid > 0);
      assert.equal((await second.shim.task.state({ id: second.id })).pid, pid);
      await restored.reached(counted + 3);
      assert.equal(restored.first(), counted + 1, "nothing is lost, and nothing said twice");
      await end(second);
    });

    test("a paused one stays paused; what was restored can be paused, too", async () => {
      const { id, task, out, ...first } = await countTo(3);
      await task.pause({ id });
      const counted = out.last();
      await task.checkpoint({ id, path: image() });
      assert.equal((await task.state({ id })).status, PAUSED);
      assert.ok(out.last() <= counted + 1, "it did not count on");
      await task.resume({ id });
      await out.reached(counted + 3);
      await end({ id, ...first });
      const second = await yard.start(COUNT);
      const restored = await create(yard, second, image());
      await second.shim.task.start({ id: second.id });
      await restored.reached(counted + 3);
      await second.shim.task.pause({ id: second.id });
      await second.shim.task.resume({ id: second.id });
      await restored.reached(restored.last() + 2);
      await end(second);
    });

    test("a connection without open_tcp: the first error, its log, and it runs on", async () => {
      const first = await yard.start(["sh", "-c", `${CONNECTED} ${COUNT[2]}`]);
      const out = await create(yard, first);
      const { id, shim } = first;
      await shim.task.start({ id });
      await out.reached(10);
      const work = image("work");
      const refused = shim.task.checkpoint({ id, path: image(), options: options({ workPath: work }) });
      await assert.rejects(refused, kind.isControl ? /runc did not terminate/ : NEEDS_OPEN_TCP);
      assert.match(readFileSync(join(work, "dump.log"), "utf8"), /--tcp-established/);
      assert.equal((await shim.task.state({ id })).status, RUNNING);
      await out.reached(out.last() + 3);
      await end(first);
    });

    testOurs("binds are those of the new container; lo is up, the cgroup is its own, exec works", async () => {
      await using host = await folders(yard);
      const bind = (source: string) => ({
        mounts: [
          { destination: "/data", type: "bind", source, options: ["rbind", "rw"] },
          { destination: "/etc/own", type: "bind", source: `${source}/file`, options: ["bind", "ro"] },
        ],
      });
      const script = `(while :; do sleep 0.05; done) & ${COUNT[2]}`;
      const first = await yard.start(["sh", "-c", script], bind(host.one));
      const out = await create(yard, first);
      await first.shim.task.start({ id: first.id });
      await out.reached(3);
      await first.shim.task.checkpoint({ id: first.id, path: image(), options: options({ exit: true }) });
      await first.shim.task.wait({ id: first.id });
      await first.shim.remove();
      const second = await yard.start(["sh", "-c", script], bind(host.two));
      const restored = await create(yard, second, image());
      const { pid } = await second.shim.task.start({ id: second.id });
      await restored.reached(out.last() + 3);
      for (const check of [
        "test $(cat /data/file) = two && test $(cat /etc/own) = two",
        "ip link show lo | grep -q '<LOOPBACK,UP'",
        "cat /proc/kcore | wc -c | grep -q '^0$'",
      ])
        assert.equal(await exec(second, "sh", "-c", check), 0, check);
      for (const line of readFileSync(`/proc/${pid}/cgroup`, "utf8").trim().split("\n"))
        assert.ok(line.endsWith(`:/${yard.tag}/${second.id}`), line);
      const { processes } = await second.shim.task.pids({ id: second.id });
      assert.ok(processes.some((process) => process.pid === pid) && processes.length >= 2);
      await end(second);
    });

    test("a network namespace that was joined: the restored one joins that of its own config", async () => {
      const names = [`${yard.tag}-a`, `${yard.tag}-b`];
      await using undo = new AsyncDisposableStack();
      for (const name of names) {
        await runOk(["ip", "netns", "add", name]);
        undo.defer(() => runOk(["ip", "netns", "del", name]).then(() => undefined));
      }
      const [one, two] = names.map((name) => `/run/netns/${name}`);
      const first = await yard.start(COUNT, { networkNamespace: one ?? "" });
      const out = await create(yard, first);
      await first.shim.task.start({ id: first.id });
      await out.reached(3);
      await first.shim.task.checkpoint({ id: first.id, path: image(), options: options({ exit: true }) });
      await first.shim.task.wait({ id: first.id });
      await first.shim.remove();
      const second = await yard.start(COUNT, { networkNamespace: two ?? "" });
      const restored = await create(yard, second, image());
      const { pid } = await second.shim.task.start({ id: second.id });
      await restored.reached(out.last() + 2);
      assert.equal(statSync(`/proc/${pid}/ns/net`).ino, statSync(two ?? "").ino);
      await end(second);
    });

    testOurs("kill -9 of the task server between all verbs, and while criu works", async () => {
      await yard[Symbol.asyncDispose]();
      const slow = await slowCriu(criu);
      await open(`${slow.path}:${kind.path}`);
      const { id, task, out, shim } = await countTo(3);
      const leaving = task.checkpoint({ id, path: image() });
      await slow.reached("dump");
      await killTaskServers(yard);
      await leaving;
      await out.reached(out.last() + 3);
      const ending = task.checkpoint({ id, path: image("2"), options: options({ exit: true }) });
      await slow.reached("dump");
      await killTaskServers(yard);
      await ending;
      await task.wait({ id });
      await shim.remove();
      const second = await yard.start(COUNT);
      const restored = await create(yard, second, image("2"));
      await killTaskServers(yard);
      const starting = second.shim.task.start({ id: second.id });
      await slow.reached("restore");
      await killTaskServers(yard);
      const { pid } = await starting;
      assert.ok(pid > 0);
      await killTaskServers(yard);
      await restored.reached(out.last() + 3);
      assert.equal(await exec(second, "true"), 0);
      await end(second);
      await slow.remove();
    });

    testOurs("it ends by itself at once: its exit status is told", async () => {
      const script = `${COUNT[2]?.replace("while :", "until [ -e /data/end ]")}; exit 7`;
      const source = image("shared");
      await mkdir(source);
      const mounts = [{ destination: "/data", type: "bind", source, options: ["rbind", "rw"] }];
      const first = await yard.start(["sh", "-c", script], { mounts });
      const out = await create(yard, first);
      await first.shim.task.start({ id: first.id });
      await out.reached(2);
      await first.shim.task.checkpoint({ id: first.id, path: image(), options: options({ exit: true }) });
      await first.shim.task.wait({ id: first.id });
      await first.shim.remove();
      await writeFile(join(source, "end"), "");
      const second = await yard.start(["sh", "-c", script], { mounts });
      await create(yard, second, image());
      await second.shim.task.start({ id: second.id });
      assert.equal((await second.shim.task.wait({ id: second.id })).exitStatus, 7);
      await second.shim.remove();
    });

    testOurs("a created one that is to be restored can be killed, and deleted", async () => {
      await saved(image());
      for (const kill of [true, false]) {
        const { shim, id, bundle } = await yard.start(COUNT);
        await shim.task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, checkpoint: image() });
        if (kill) {
          const wait = shim.task.wait({ id });
          await shim.task.kill({ id, signal: 9 });
          assert.equal((await wait).exitStatus, 137);
        }
        await shim.remove();
      }
    });

    testOurs("a checkpoint that is none, or broken: the reason, and nothing stays", async () => {
      await saved(image());
      const first = await yard.start(COUNT);
      const none = { id: first.id, bundle: first.bundle.path, rootfs: first.bundle.mounts, checkpoint: "/none" };
      await assert.rejects(first.shim.task.create(none), /checkpoint: there is no inventory\.img of criu in \/none/);
      await first.shim.task.shutdown({ id: first.id }).catch(() => undefined);
      await first.shim.close();
      await rm(join(image(), "pages-1.img"));
      const second = await yard.start(COUNT);
      await create(yard, second, image());
      const start = second.shim.task.start({ id: second.id });
      await assert.rejects(start, /criu restore: Error \(criu\/\w+\.c:\d+\): .+ \(\/.*\/criu\/restore\.log\)$/);
      assert.match(readFileSync(join(second.bundle.path, "criu/restore.log"), "utf8"), /pages-1\.img/);
      await second.shim.remove();
    });

    testOurs("without criu: Unimplemented, and a restore is refused", async () => {
      await yard[Symbol.asyncDispose]();
      await open("/usr/bin:/bin");
      assert.ok(!existsSync("/usr/bin/criu") && !existsSync("/bin/criu"));
      const { id, task, out, ...first } = await countTo(2);
      await assert.rejects(task.checkpoint({ id, path: image() }), {
        code: UNIMPLEMENTED,
        message: /criu is not installed \(PATH: \/usr\/bin:\/bin\): not implemented$/,
      });
      assert.ok(!existsSync(image()));
      await out.reached(out.last() + 2);
      await end({ id, ...first });
      const { shim, bundle, id: other } = await yard.start(COUNT);
      const request = { id: other, bundle: bundle.path, rootfs: bundle.mounts, checkpoint: image() };
      await assert.rejects(shim.task.create(request), { code: 9, message: /criu is not installed/ });
      await shim.task.shutdown({ id: other }).catch(() => undefined);
      await shim.close();
    });

    testOurs("options that can't be: InvalidArgument, and it runs on", async () => {
      const { id, task, ...first } = await countTo(2);
      for (const [set, message] of [
        [{ cgroupsMode: "loose" }, /cgroups_mode "loose": none of soft, full, strict, ignore/],
        [{ emptyNamespaces: ["pid"] }, /empty_namespaces "pid": only "network" can be left empty/],
        [{ parentPath: "/p" }, /parent_path: a checkpoint on top of another is not supported/],
        [{ workPath: "w" }, /work_path: "w" is no absolute path/],
      ] as const)
        await assert.rejects(task.checkpoint({ id, path: image(), options: options(set) }), { code: 3, message });
      await end({ id, ...first });
    });
  });
}

/** A TCP connection, both of whose ends are in the container. */
const CONNECTED = "nc -l -p 99 -e sleep 1000 & sleep 0.3; sleep 1000 | nc 127.0.0.1 99 &";
const NEEDS_OPEN_TCP =
  /^StatusError: criu dump: Error \(criu\/sk-inet\.c:\d+\): .*--tcp-established.* \(\/.*\/work\/dump\.log\)$/;

type CheckpointOptions = Omit<containerd.runc.v1.CheckpointOptions, "emptyNamespaces"> & {
  readonly emptyNamespaces: readonly string[];
};

function options(set: Partial<CheckpointOptions>) {
  const { emptyNamespaces = [], ...rest } = set;
  const message = { ...rest, emptyNamespaces: [...emptyNamespaces] };
  return packAny(ANY.runcCheckpointOptions, containerd.runc.v1.CheckpointOptions.encode(message));
}

async function exec({ shim, id }: Pick<StartedShim, "shim" | "id">, ...args: string[]): Promise<number> {
  const execId = `e${performance.now().toString().replace(".", "")}`;
  await shim.task.exec({ id, execId, spec: { typeUrl: SPEC, value: Buffer.from(JSON.stringify(ociProcess(args))) } });
  await shim.task.start({ id, execId });
  const { exitStatus } = await shim.task.wait({ id, execId });
  await shim.task.delete({ id, execId });
  return exitStatus;
}

async function end({ shim, id }: Pick<StartedShim, "shim" | "id">): Promise<void> {
  const wait = shim.task.wait({ id });
  await shim.task.kill({ id, signal: 9 });
  await wait;
  await shim.remove();
}

/** Two folders of the host's, whose file says which it is. */
async function folders({ containerd: { dir } }: ShimYard) {
  const [one, two] = [join(dir, "one"), join(dir, "two")];
  for (const folder of [one, two]) {
    await mkdir(folder);
    await writeFile(join(folder, "file"), folder.slice(-3));
  }
  return { one, two, [Symbol.asyncDispose]: () => rm(one, { recursive: true, force: true }) };
}
