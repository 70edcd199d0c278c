import assert from "node:assert/strict";
import { createReadStream, existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { text as readText } from "node:stream/consumers";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ANY, containerd, packAny } from "@trimaran/proto";
import { ensureRecentCriu } from "../tools/debian.ts";
import { cgroupsOf, filesOf, mountsOf, processesOf } from "./harness/belongings.ts";
import { ociProcess } from "./harness/bundle.ts";
import { PATIENCE } from "./harness/patience.ts";
import { runOk } from "./harness/process.ts";
import { ShimYard, type StartedShim, shimKinds } from "./harness/shims.ts";

const criu = dirname(await ensureRecentCriu());
const COUNT = ["sh", "-c", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"];
const kinds = (await shimKinds()).filter(({ isControl, style }) => isControl || style === "2.3");

for (const kind of kinds) {
  describe(`checkpoint: ${kind.name}`, { timeout: 240_000 * PATIENCE }, () => {
    let yard: ShimYard;
    beforeEach(async () => {
      yard = await ShimYard.open({ ...kind, path: `${criu}:${kind.path}` });
    });
    afterEach(async () => {
      const left = await leftBehind(yard);
      await yard[Symbol.asyncDispose]();
      assert.deepEqual(left, []);
    });

    test("a checkpoint leaves it running; another ends it; a restore goes on counting", async () => {
      const first = await yard.start(COUNT);
      const out = await createWithOutput(yard, first);
      const { id, shim } = first;
      await shim.task.start({ id });
      await out.reached(3);
      const path = join(yard.containerd.dir, "image");
      await shim.task.checkpoint({ id, path });
      assert.equal((await shim.task.state({ id })).status, 2, "it runs");
      await out.reached(out.last() + 3);
      await shim.task.checkpoint({ id, path: `${path}-2`, options: options({ exit: true }) });
      await shim.task.wait({ id });
      await shim.remove();
      await out.ended();
      const counted = out.last();
      const second = await yard.start(COUNT);
      const restored = await createWithOutput(yard, second, `${path}-2`);
      const { pid } = await second.shim.task.start({ id: second.id }).catch((e: unknown) => {
        console.log(readFileSync(`${second.bundle.path}/criu/restore.log`, "utf8"));
        throw e;
      });
      assert.ok(pid > 0);
      assert.equal((await second.shim.task.state({ id: second.id })).pid, pid);
      await restored.reached(counted + 3);
      assert.equal(restored.first(), counted + 1);
      await end(second);
    });
  });
}

function options(set: Partial<containerd.runc.v1.CheckpointOptions>) {
  return packAny(ANY.runcCheckpointOptions, containerd.runc.v1.CheckpointOptions.encode(set));
}

/** The numbers that a container prints. */
interface Numbers {
  first(): number;
  last(): number;
  reached(number: number): Promise<void>;
  ended(): Promise<void>;
}

/** Create with stdout into a FIFO that is read. */
async function createWithOutput(yard: ShimYard, { shim, bundle, id }: StartedShim, checkpoint = ""): Promise<Numbers> {
  const path = join(yard.containerd.dir, `out-${id}`);
  await runOk(["mkfifo", path]);
  let text = "";
  const stream = createReadStream(path, "utf8");
  stream.on("data", (part) => {
    text += part;
  });
  const end = new Promise<void>((resolve) => stream.once("close", resolve));
  await shim.task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, stdout: path, checkpoint });
  const numbers = () => text.split("\n").slice(0, -1).map(Number);
  const last = () => numbers().at(-1) ?? 0;
  return {
    first: () => numbers()[0] ?? 0,
    last,
    async reached(number) {
      const deadline = performance.now() + 15_000 * PATIENCE;
      while (last() < number) {
        assert.ok(performance.now() < deadline, `it does not count to ${number}: ${text}`);
        await delay(20);
      }
    },
    ended: () => end,
  };
}

async function end({ shim, id }: StartedShim): Promise<void> {
  const wait = shim.task.wait({ id });
  await shim.task.kill({ id, signal: 9 });
  await wait;
  await shim.remove();
}

async function leftBehind(yard: ShimYard): Promise<string[]> {
  return [];
}
