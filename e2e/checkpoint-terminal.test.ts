import assert from "node:assert/strict";
import {
  closeSync,
  constants,
  createReadStream,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ANY, containerd, packAny } from "@trimaran/proto";
import { ensureRecentCriu } from "../tools/debian.ts";
import { killTaskServers, leftBehind } from "./harness/left-behind.ts";
import { PATIENCE } from "./harness/patience.ts";
import { runOk } from "./harness/process.ts";
import { type ShimKind, ShimYard, type StartedShim, shimKinds } from "./harness/shims.ts";
import { slowCriu } from "./harness/slow-criu.ts";

const criu = await ensureRecentCriu();
const kinds = (await shimKinds()).filter(({ isControl, style }) => isControl || style === "2.3");
const EXIT = packAny(
  ANY.runcCheckpointOptions,
  containerd.runc.v1.CheckpointOptions.encode({ exit: true, emptyNamespaces: [] }),
);
/** Says each line with its number; what is typed it is told without an echo. */
const TALK = [
  "sh",
  "-c",
  `stty -echo; trap 'echo interrupted' INT; i=0; line=
  while [ "$line" != end ]; do
    read -r line || continue
    i=$((i+1)); echo "$i $line"
    [ "$line" = size ] && stty size
  done
  exit 7`,
];

for (const kind of kinds) {
  describe(`checkpoint of a terminal: ${kind.name}`, { timeout: 120_000 * PATIENCE }, () => {
    test("what runs in it goes on in another: lines, its size, Ctrl-C, its exit status", () =>
      inYard(kind, async (yard) => goesOn(yard, await saved(yard))));

    if (!kind.isControl) {
      for (const control of kinds.filter(({ isControl }) => isControl))
        test(`saved by ${control.name}, restored by us`, () =>
          inYard(control, async (theirs) => {
            const images = await saved(theirs);
            await inYard(kind, (yard) => goesOn(yard, images));
          }));

      test("kill -9 of the task server while criu works", async () => {
        const slow = await slowCriu(criu);
        await inYard(
          kind,
          async (yard) => {
            const kill = async () => {
              await slow.reached("swrk");
              await killTaskServers(yard);
            };
            await goesOn(yard, await saved(yard, kill), kill);
          },
          slow.path,
        );
        await slow.remove();
      });

      test("checkpoints leave the monitor the descriptors that it had", () =>
        inYard(kind, async (yard) => {
          const { shim, id, ...container } = await yard.start(TALK);
          using _terminal = await create(yard, { shim, id, ...container });
          await shim.task.start({ id });
          const { shimPid } = await shim.task.connect({ id });
          const save = async (name: string) => {
            await shim.task.checkpoint({ id, path: join(yard.containerd.dir, name) });
            await shim.task.state({ id }); // by then the checkpoint's own are given back
            return readdirSync(`/proc/${shimPid}/fd`).length;
          };
          assert.equal(await save("first"), await save("second"));
          const wait = shim.task.wait({ id });
          await shim.task.kill({ id, signal: 9 });
          await wait;
          await shim.remove();
        }));

      test("a broken checkpoint: criu's reason, and nothing stays", () =>
        inYard(kind, async (yard) => {
          const images = await saved(yard);
          await runOk(["rm", join(images, "pages-1.img")]);
          const container = await yard.start(TALK);
          using _terminal = await create(yard, container, images);
          const start = container.shim.task.start({ id: container.id });
          const reason =
            /criu restore: Error \(criu\/pie\/restorer\.c:\d+\): Can't read pages data.* \(\/.*\/criu\/restore\.log\)$/;
          await assert.rejects(start, reason);
          await container.shim.remove();
        }));
    }
  });
}

/** In a yard that has a criu which knows this kernel. Ours leave nothing behind; upstream's leaves cgroups of what it restores. */
async function inYard(kind: ShimKind, body: (yard: ShimYard) => Promise<void>, path = dirname(criu)): Promise<void> {
  await using yard = await ShimYard.open({ ...kind, path: `${path}:${kind.path}` });
  await body(yard);
  if (!kind.isControl) assert.deepEqual(await leftBehind(yard), []);
}

/** Where a container is saved that was told one line, and has ended. */
async function saved(yard: ShimYard, meanwhile = async () => {}): Promise<string> {
  const images = join(yard.containerd.dir, "image");
  const container = await yard.start(TALK);
  const { shim, id } = container;
  using terminal = await create(yard, container);
  await shim.task.start({ id });
  terminal.type("one\n");
  await terminal.says(/^1 one\r\n$/m);
  const checkpoint = shim.task.checkpoint({ id, path: images, options: EXIT });
  await meanwhile();
  await checkpoint;
  assert.equal((await shim.task.wait({ id })).exitStatus, 137);
  await shim.remove();
  await terminal.ended;
  return images;
}

async function goesOn(yard: ShimYard, images: string, meanwhile = async () => {}): Promise<void> {
  const container = await yard.start(TALK);
  const { shim, id } = container;
  using terminal = await create(yard, container, images);
  const starting = shim.task.start({ id });
  await meanwhile();
  assert.ok((await starting).pid > 0);
  terminal.type("two\n");
  await terminal.says(/^2 two\r\n/);
  await shim.task.resizePty({ id, width: 100, height: 40 });
  terminal.type("size\n");
  await terminal.says(/^3 size\r\n40 100\r\n/m);
  terminal.type("\x03");
  await terminal.says(/^interrupted\r\n/m);
  const wait = shim.task.wait({ id });
  terminal.type("end\n");
  assert.equal((await wait).exitStatus, 7);
  await terminal.ended;
  assert.match(terminal.text, /4 end\r\n$/);
  await shim.remove();
}

/** Create a container with a terminal, whose other end is here. */
async function create(yard: ShimYard, { shim, bundle, id }: StartedShim, checkpoint = "") {
  const config = join(bundle.path, "config.json");
  const spec = JSON.parse(readFileSync(config, "utf8")) as { process: { terminal?: boolean } };
  spec.process.terminal = true;
  writeFileSync(config, JSON.stringify(spec));
  await mkdir(join(bundle.path, "work")); // containerd makes it, too, and upstream's shim counts on it
  const [stdin, stdout] = [`${yard.containerd.dir}/in-${id}`, `${yard.containerd.dir}/out-${id}`] as const;
  await runOk(["mkfifo", stdin, stdout]);
  const writer = openSync(stdin, "r+");
  const terminal = {
    text: "",
    type: (text: string) => void writeSync(writer, text),
    async says(pattern: RegExp) {
      for (const until = performance.now() + 15_000 * PATIENCE; !pattern.test(terminal.text); await delay(20))
        assert.ok(performance.now() < until, `no ${pattern} in ${JSON.stringify(terminal.text)}`);
    },
    ended: Promise.resolve(),
    [Symbol.dispose]() {
      closeSync(writer);
      reader.destroy();
      closeSync(openSync(stdout, constants.O_RDWR | constants.O_NONBLOCK)); // where nothing has come it is still being opened
    },
  };
  const reader = createReadStream(stdout, "utf8").on("data", (part) => {
    terminal.text += part;
  });
  terminal.ended = new Promise((resolve) => reader.once("close", resolve));
  const { options } = yard.kind;
  const request = { id, bundle: bundle.path, rootfs: bundle.mounts, terminal: true, stdin, stdout, checkpoint };
  await shim.task.create({ ...request, ...(options && { options }) });
  return terminal;
}
