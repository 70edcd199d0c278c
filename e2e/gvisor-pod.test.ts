import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text as readText } from "node:stream/consumers";
import { afterEach, beforeEach, describe, test } from "node:test";
import { ANY, containerd, io, packAny } from "@trimaran/proto";
import { runDelete } from "@trimaran/shim-check";
import { processesOf } from "./harness/belongings.ts";
import { ociProcess } from "./harness/bundle.ts";
import { leftBehind, taskServers } from "./harness/left-behind.ts";
import { Logger } from "./harness/logger.ts";
import { run, runOk } from "./harness/process.ts";
import { gvisorKinds, ShimYard, type StartedShim } from "./harness/shims.ts";

const SPEC = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const TYPE = "io.kubernetes.cri.container-type";
const SANDBOX = "io.kubernetes.cri.sandbox-id";

for (const kind of await gvisorKinds()) {
  describe(`pods: ${kind.name}`, { timeout: 240_000 }, () => {
    let yard: ShimYard;
    beforeEach(async () => {
      yard = await ShimYard.open(kind);
    });
    afterEach(async () => {
      const left = await leftBehind(yard);

      await yard[Symbol.asyncDispose]();
      assert.deepEqual(left, []);
    });

    /** A pause container, started. */
    const openPod = async () => {
      const sandboxId = `${yard.tag}-${yard.ids.length}`;
      const pause = await yard.start(["sleep", "1000"], { annotations: { [TYPE]: "sandbox", [SANDBOX]: sandboxId } });
      await pause.create();
      await pause.shim.task.start({ id: pause.id });
      const annotations = { [TYPE]: "container", [SANDBOX]: sandboxId };
      const join = (...args: string[]) => yard.start(args, { annotations });
      return { pause, join };
    };

    test("three containers in one sandbox: output, exec, each one's exit", async () => {
      const { pause, join } = await openPod();
      const one = await join("sh", "-c", "cat /proc/version; exit 7");
      const { text } = await createWithOutput(yard, one);
      await one.shim.task.start({ id: one.id });
      assert.equal((await one.shim.task.wait({ id: one.id })).exitStatus, 7);
      await one.shim.remove();
      assert.match(await text, /^Linux version 4\.4\.0 /);
      const two = await join("sleep", "1000");
      await two.create();
      await two.shim.task.start({ id: two.id });
      await two.shim.task.exec({ id: two.id, execId: "e", spec: spec("sh", "-c", "exit 4") });
      await two.shim.task.start({ id: two.id, execId: "e" });
      assert.equal((await two.shim.task.wait({ id: two.id, execId: "e" })).exitStatus, 4);
      assert.ok((await two.shim.task.stats({ id: two.id })).stats);
      await assert.rejects(two.shim.task.pause({ id: two.id }), /runsc can only pause a whole sandbox/);
      await killTaskServers(yard);
      await two.shim.task.kill({ id: two.id, signal: 9 });
      assert.equal((await two.shim.task.wait({ id: two.id })).exitStatus, 137);
      await two.shim.remove();
      assert.equal((await pause.shim.task.state({ id: pause.id })).status, 2, "the pod lives on");
      await end(pause);
    });

    test("a member that can't start: the reason; its gofer is gone at once, its output ends with Delete", async () => {
      const { pause, join } = await openPod();
      const broken = await join("/nope");
      const { text } = await createWithOutput(yard, broken);
      await assert.rejects(
        broken.shim.task.start({ id: broken.id }),
        /^StatusError: runsc start: .*\/nope: no such file/,
      );
      const gofers = (await processesOf(yard)).filter(({ command }) => / gofer .*/.test(command));
      assert.equal(gofers.length, 1, "the sandbox's own");
      const began = performance.now();
      await broken.shim.task.delete({ id: broken.id });
      assert.ok(performance.now() - began < 1900, "it did not wait for output that can't come, which it does for 2 s");
      await broken.shim.close();
      assert.equal(await text, "");
      await end(pause);
    });

    test("the sandbox's death ends all, exits reported", async () => {
      const { pause, join } = await openPod();
      const running = await join("sleep", "1000");
      await running.create();
      await running.shim.task.start({ id: running.id });
      const created = await join("sleep", "1000");
      await created.create();
      const waits = [running, created].map(({ shim, id }) => shim.task.wait({ id }));
      await pause.shim.task.kill({ id: pause.id, signal: 9 });
      for (const wait of waits) assert.equal((await wait).exitStatus, 137);
      for (const { shim } of [running, created, pause]) await shim.remove();
      const exits = yard.containerd.events.filter(({ topic }) => topic === "/tasks/exit");
      assert.ok(exits.length >= 3);
    });

    test("created containers are deleted without a start", async () => {
      const { pause, join } = await openPod();
      const created = await join("true");
      await created.create();
      await created.shim.task.delete({ id: created.id });
      await created.shim.close();
      await end(pause);
    });

    test("kill -9 of the monitor: delete leaves nothing, of any of its containers", async () => {
      const { pause, join } = await openPod();
      const running = await join("sleep", "1000");
      await running.create();
      await running.shim.task.start({ id: running.id });
      const { shimPid } = await pause.shim.task.connect({ id: pause.id });
      process.kill(shimPid, "SIGKILL");
      for (const { shim } of [running, pause]) {
        shim.abandon();
        assert.equal((await runDelete(shim.options)).exitStatus, 137);
      }
      const next = await yard.start(["true"]); // takes runsc's state directory away, which is empty now
      await next.create();
      await next.shim.task.start({ id: next.id });
      await next.shim.task.wait({ id: next.id });
      await next.shim.remove();
    });

    test("kill -9 of the task server while a Create is on its way, then delete", async () => {
      const alone = await yard.start(["sleep", "1000"]);
      const creating = alone.create().catch((error: unknown) => error);
      await new Promise((resolve) => setTimeout(resolve, 40));
      await killTaskServers(yard);
      alone.shim.abandon(); // containerd gives up: nobody repeats the Create
      await runDelete(alone.shim.options);
      await creating;
    });

    for (const [verb, momentsMs] of [
      ["create", [5, 25, 60]],
      ["start", [1, 10, 20]],
      ["exec", [1, 8]],
    ] as const)
      test(`runsc ${verb} is killed in the middle: it is said, nothing is left`, async () => {
        const folder = await killer(yard, verb);
        await using other = await ShimYard.open({ ...kind, path: `${folder}:${kind.path}` });
        for (const afterMs of momentsMs) {
          await writeFile(join(folder, "after"), String(afterMs / 1000));
          const { shim, create, id } = await other.start(["sleep", "1000"]);
          const starting = (async () => {
            await create();
            await shim.task.start({ id });
            await shim.task.exec({ id, execId: "e", spec: spec("sleep", "1000") });
            await shim.task.start({ id, execId: "e" });
          })();
          await assert.rejects(starting, new RegExp(`runsc ${verb}: was killed by signal 9`));
          shim.abandon(); // containerd gives it up
          await runDelete(shim.options);
        }
        assert.deepEqual(await leftBehind(other), []);
      });

    test("update changes the limits of the sandbox's cgroup, and stats show them", async () => {
      const { shim, id, create } = await yard.start(["sleep", "1000"]);
      await create();
      await shim.task.start({ id });
      const limit = 512 << 20;
      const resources = { typeUrl: ANY.ociLinuxResources, value: Buffer.from(JSON.stringify({ memory: { limit } })) };
      await shim.task.update({ id, resources });
      const { stats } = await shim.task.stats({ id });
      assert.ok(stats);
      const told =
        stats.typeUrl === ANY.cgroupV2Metrics
          ? io.containerd.cgroups.v2.Metrics.decode(stats.value).memory?.usageLimit
          : io.containerd.cgroups.v1.Metrics.decode(stats.value).memory?.usage?.limit;
      assert.equal(told, BigInt(limit));
      await shim.task.kill({ id, signal: 9 });
      await shim.task.wait({ id });
      await shim.remove();
    });

    test("checkpoint, then restore in another container: it goes on", async () => {
      const count = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done"];
      const first = await yard.start(count);
      const { text } = await createWithOutput(yard, first);
      await first.shim.task.start({ id: first.id });
      await first.shim.task.exec({ id: first.id, execId: "e", spec: spec("sleep", "0.5") });
      await first.shim.task.start({ id: first.id, execId: "e" });
      await first.shim.task.wait({ id: first.id, execId: "e" });
      const path = join(yard.containerd.dir, "checkpoint");
      const leave = first.shim.task.checkpoint({ id: first.id, path });
      if (kind.name.includes("2022")) await assert.rejects(leave, /can't leave the container running/);
      else await leave;
      await first.shim.task.checkpoint({ id: first.id, path: `${path}-2`, options: checkpointAndExit() });
      await first.shim.task.wait({ id: first.id });
      await first.shim.remove();
      const counted = (await text).trim().split("\n").length;
      assert.ok(counted >= 3, `${counted}`);
      const second = await yard.start(count);
      const restored = await createWithOutput(yard, second, `${path}-2`);
      await killTaskServers(yard);
      const { pid } = await second.shim.task.start({ id: second.id });
      assert.ok(pid > 0);
      await killTaskServers(yard);
      await second.shim.task.exec({ id: second.id, execId: "e", spec: spec("sleep", "0.5") });
      await second.shim.task.start({ id: second.id, execId: "e" });
      await second.shim.task.wait({ id: second.id, execId: "e" });
      await end(second);
      const [goesOnAt = 0] = (await restored.text).split("\n").map(Number);
      assert.ok(goesOnAt >= counted, `it began at ${goesOnAt}, the first had come to ${counted}`);
      const third = await yard.start(["true"]);
      const { id, bundle } = third;
      const nothing = third.shim.task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, checkpoint: "/none" });
      await assert.rejects(nothing, /there is no checkpoint\.img of runsc in \/none/);
      await third.shim.task.shutdown({ id }).catch(() => undefined);
      await third.shim.close();
    });

    test("binary:// loggers get both streams, of a first container and of a member", async () => {
      const { pause, join: joinPod } = await openPod();
      const logger = await Logger.make(join(yard.containerd.dir, "logs"));
      const say = ["sh", "-c", "echo out; echo err >&2"];
      for (const { shim, bundle, id } of [await joinPod(...say), await yard.start(say)]) {
        const { uri } = logger;
        await shim.task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, stdout: uri, stderr: uri });
        await shim.task.start({ id });
        await shim.task.wait({ id });
        await shim.remove();
        assert.deepEqual(await logger.logged(id), ["out\n", "err\n"]);
      }
      const refused = await yard.start(say);
      const { id, bundle } = refused;
      const broken = refused.shim.task.create({
        id,
        bundle: bundle.path,
        rootfs: bundle.mounts,
        stdout: "binary:///none",
      });
      await assert.rejects(broken, /\/none/);
      await refused.shim.task.shutdown({ id }).catch(() => undefined);
      await refused.shim.close();
      await end(pause);
    });

    test("a network namespace with an address: runsc takes it over", async () => {
      const ip = (...args: string[]) => runOk(["ip", ...args]);
      const name = yard.tag;
      await ip("netns", "add", name);
      try {
        await ip("-n", name, "link", "set", "lo", "up");
        await ip("-n", name, "link", "add", "v0", "type", "veth", "peer", "name", "v1");
        await ip("-n", name, "addr", "add", "10.9.8.7/24", "dev", "v0");
        for (const link of ["v0", "v1"]) await ip("-n", name, "link", "set", link, "up");
        const alone = await yard.start(["sh", "-c", "ip -4 addr show v0 2>&1; cat /proc/net/dev"], {
          networkNamespace: `/run/netns/${name}`,
        });
        const { text } = await createWithOutput(yard, alone);
        await alone.shim.task.start({ id: alone.id });
        await alone.shim.task.wait({ id: alone.id });
        await alone.shim.remove();
        assert.match(await text, /v0:/);
        assert.doesNotMatch(
          (await run(["ip", "-n", name, "addr"])).stdout,
          /10\.9\.8\.7/,
          "the host's stack has lost it",
        );
      } finally {
        await ip("netns", "del", name);
      }
    });
  });
}

function spec(...args: string[]) {
  return { typeUrl: SPEC, value: Buffer.from(JSON.stringify(ociProcess(args))) };
}

function checkpointAndExit() {
  return packAny(ANY.runcCheckpointOptions, containerd.runc.v1.CheckpointOptions.encode({ exit: true }));
}

/** Create with stdout into a FIFO that is read; `text` resolves at its end of file. */
async function createWithOutput(
  yard: ShimYard,
  { shim, bundle, id }: StartedShim,
  checkpoint = "",
): Promise<{ text: Promise<string> }> {
  const path = join(yard.containerd.dir, `out-${id}`);
  await runOk(["mkfifo", path]);
  const text = readText(createReadStream(path));
  await shim.task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, stdout: path, checkpoint });
  return { text };
}

async function end({ shim, id }: StartedShim): Promise<void> {
  const wait = shim.task.wait({ id });
  await shim.task.kill({ id, signal: 9 });
  await wait;
  await shim.remove();
}

/** A folder with a runsc that kills itself, in that verb, so many seconds after its begin as the file `after` says. */
async function killer({ kind, containerd: { dir } }: ShimYard, verb: string): Promise<string> {
  const folder = join(dir, "killer");
  const script = `#!/bin/sh
export PATH=${kind.path}
case " $* " in
*" ${verb} "*) runsc "$@" & sleep $(cat ${folder}/after); kill -9 $! 2>/dev/null; kill -9 $$ ;;
*) exec runsc "$@" ;;
esac
`;
  await mkdir(folder);
  await writeFile(join(folder, "runsc"), script, { mode: 0o755 });
  return folder;
}

async function killTaskServers(yard: ShimYard): Promise<void> {
  for (const pid of await taskServers(yard)) process.kill(pid, "SIGKILL");
}
