import assert from "node:assert/strict";
import { once } from "node:events";
import { constants, existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { startVm } from "../qemu/child-vm.ts";
import { connectWhenThere } from "../qemu/connect.ts";
import type { VmPaths } from "../qemu/plan.ts";
import { askAgent } from "../testing/ask-agent.ts";
import { processMemoryKb } from "../testing/process-memory.ts";
import { openTestGuest } from "../testing/test-guest.ts";
import { ensureTemplate } from "./ensure.ts";
import { templateKey } from "./key.ts";
import { type StartedMachine, type StartOptions, startMachine } from "./start-machine.ts";
import { findTemplate } from "./store.ts";

const guest = await openTestGuest();
after(() => guest[Symbol.asyncDispose]());
const { image, qemu, shape, signal } = guest;
const root = join(guest.directory, "templates");
const subject = { qemu, image, shape };
const ping = (nonce: string) => (paths: VmPaths, alive: AbortSignal) => askAgent(paths.agent, `ping ${nonce}`, alive);

const build = (changes: Partial<Parameters<typeof ensureTemplate>[0]> = {}) =>
  ensureTemplate({ ...subject, root, start: startVm, ready: ping("template"), signal, ...changes });

/** A machine that is ended with the test. */
async function start(name: string, changes: Partial<StartOptions<string>> = {}) {
  const fallbacks: string[] = [];
  const machine = await startMachine<string>({
    ...subject,
    directory: join(guest.directory, name),
    network: { kind: "none" },
    templates: root,
    start: startVm,
    startTemplate: startVm,
    readyTemplate: ping("template"),
    ready: ping(name),
    onFallback: ({ message }) => fallbacks.push(message),
    signal,
    ...changes,
  });
  return { ...machine, fallbacks, [Symbol.asyncDispose]: () => end(machine) };
}

async function end({ vm, qmp }: StartedMachine<string>): Promise<void> {
  qmp[Symbol.dispose]();
  vm.kill();
  await vm.exited;
}
/** How long a step took, for whoever reads the test's output. */
async function timed<T>(what: string, work: Promise<T>): Promise<T> {
  const begin = performance.now();
  const result = await work;
  console.log(`# ${what}: ${Math.round(performance.now() - begin)} ms`);
  return result;
}

test("a template is built once, whoever asks, and leaves nothing but itself", async () => {
  let started = 0;
  const counting: typeof startVm = (plan) => {
    started++;
    return startVm(plan);
  };
  const [first, second] = await timed(
    "template",
    Promise.all([build({ start: counting }), build({ start: counting })]),
  );
  assert.deepEqual([first.key, started], [second.key, 1]);
  assert.deepEqual(readdirSync(root), [templateKey(subject)]);
  assert.deepEqual(readdirSync(first.directory).sort(), ["memory", "state", "template.json"]);
});

test("three clones at once answer with their own nonces, and go on from one boot", async () => {
  await using cold = await timed("cold boot, first answer", start("cold", { templates: undefined }));
  assert.equal(cold.origin, "cold");
  await build();
  const names = ["one", "two", "three"];
  const clones = await timed("three clones at once, all have answered", Promise.all(names.map((name) => start(name))));
  try {
    assert.deepEqual(
      clones.map(({ origin }) => origin),
      ["clone", "clone", "clone"],
    );
    const answers = clones.map(({ agent }) => agent.split(" "));
    assert.deepEqual(
      answers.map(([, nonce]) => nonce),
      names,
    );
    assert.equal(new Set(answers.map((words) => words.at(-1))).size, 1, "one boot id: they are clones");
    assert.notEqual(cold.agent.split(" ").at(-1), answers[0]?.at(-1));
    await checkIsolation(clones);
    for (const { vm } of clones) checkReadOnly(vm.pid);
    const debug = await connectWhenThere(clones[2]?.plan.paths.debug ?? "", signal);
    const [banner] = await once(debug, "data", { signal });
    debug.destroy();
    assert.match(String(banner), /a shell in the guest/, "the shell came along from the template");
    for (const { vm } of clones)
      console.log(`# PSS ${processMemoryKb(vm.pid, "Pss")} kB, private ${processMemoryKb(vm.pid, "Private_Dirty")} kB`);
    for (const { vm } of clones) assert.ok(processMemoryKb(vm.pid, "Pss") < 110_000, "not shared it would be 190 MB");
  } finally {
    for (const clone of clones) await end(clone);
  }
});

/** No clone can change the template's file for others: it has it open for reading, where its QEMU can (since 8.2). */
function checkReadOnly(pid: number): void {
  const [major = 0, minor = 0] = qemu.version.split(".").map(Number);
  const folder = `/proc/${pid}/fd`;
  const fds = readdirSync(folder).filter((fd) => readlinkSync(join(folder, fd)).endsWith("/memory"));
  const mode = (fd: string) =>
    Number.parseInt(/flags:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"))?.[1] ?? "", 8) & 3;
  assert.equal(fds.length, 1);
  assert.deepEqual(fds.map(mode), [major > 8 || (major === 8 && minor >= 2) ? constants.O_RDONLY : constants.O_RDWR]);
}

/** What one clone writes to its memory is not seen by another, nor by the template's next clone. */
async function checkIsolation(clones: readonly StartedMachine<string>[]): Promise<void> {
  const [one, two] = clones;
  if (!one || !two) throw new Error("two clones are needed");
  const exists = "eval fs.existsSync('/run/mark')";
  assert.equal(await askAgent(one.plan.paths.agent, "eval fs.writeFileSync('/run/mark', 'x') ?? 1", signal), "eval 1");
  assert.equal(await askAgent(one.plan.paths.agent, exists, signal), "eval true");
  assert.equal(await askAgent(two.plan.paths.agent, exists, signal), "eval false");
  await using later = await start("later");
  assert.deepEqual([later.origin, await askAgent(later.plan.paths.agent, exists, signal)], ["clone", "eval false"]);
}

test("clones one after the other: each is quick", async () => {
  await build();
  for (const name of ["a", "b", "c", "d", "e"]) {
    await using clone = await timed("clone, first answer", start(name));
    assert.equal(clone.origin, "clone");
  }
});

test("a corrupt state is found out, and the template is built again", async () => {
  const { directory, key } = await build();
  const state = readFileSync(join(directory, "state"));
  state[100] = (state[100] ?? 0) ^ 255;
  writeFileSync(join(directory, "state"), state);
  assert.equal(findTemplate(root, key), undefined);
  await using clone = await start("rebuilt");
  assert.deepEqual([clone.origin, clone.fallbacks], ["clone", []]);
});

test("a template whose clones don't come to life costs one cold boot, and is gone", async () => {
  const { key } = await build();
  let asked = 0;
  const ready = (paths: VmPaths, alive: AbortSignal) => {
    if (asked++ === 0) throw new Error("the agent answers nonsense");
    return askAgent(paths.agent, "ping again", alive);
  };
  await using machine = await start("fallback", { ready });
  assert.deepEqual([machine.origin, machine.fallbacks], ["cold", ["the agent answers nonsense"]]);
  assert.match(machine.agent, /^pong again /);
  assert.equal(findTemplate(root, key), undefined);
});

test("a state that QEMU does not take is a reason that names it", async () => {
  const { directory, key } = await build();
  writeFileSync(join(directory, "state"), "no state");
  const record = JSON.parse(readFileSync(join(directory, "template.json"), "utf8")) as object;
  const { createHash } = await import("node:crypto");
  const stateSha256 = createHash("sha256").update("no state").digest("hex");
  writeFileSync(join(directory, "template.json"), JSON.stringify({ ...record, stateSha256 }));
  assert.ok(findTemplate(root, key), "its digest is right");
  await using machine = await start("refused");
  assert.equal(machine.origin, "cold");
  assert.match(machine.fallbacks.join(), /^clone start: qemu: exit status 1: .*(migration|magic|stream)/);
});

test("a build that is cut short leaves nothing: QEMU killed, an agent that never answers, no room", async () => {
  const another = { shape: { ...shape, memoryMiB: 257 } };
  const killing: typeof startVm = async (plan) => {
    const vm = await startVm(plan);
    setTimeout(vm.kill, 300);
    return vm;
  };
  await assert.rejects(build({ ...another, start: killing }), /^StatusError: template: qemu: killed by SIGKILL/);
  const never = () => new Promise(() => {});
  await assert.rejects(build({ ...another, ready: never, coldLimitMs: 500 }), /^StatusError: template: not in 500 ms/);
  const huge = { shape: { ...shape, memoryMiB: 100_000_000 } };
  await assert.rejects(build(huge), /template: .* MiB free, the machine 100000000/);
  const stopped = AbortSignal.abort(new Error("the pod was deleted"));
  await assert.rejects(build({ ...another, signal: stopped }), /the pod was deleted/);
  assert.deepEqual(
    readdirSync(root).filter((name) => name.startsWith(".")),
    [],
  );
  assert.equal(findTemplate(root, templateKey({ ...subject, ...another })), undefined);
});

test("where neither clone nor cold boot works the last reason is thrown, and nothing runs", async () => {
  const gone = { ...image, directory: undefined, kernel: join(guest.directory, "none") };
  const pids: number[] = [];
  const noting: typeof startVm = async (plan) => {
    const vm = await startVm(plan);
    pids.push(vm.pid);
    return vm;
  };
  const starting = start("hopeless", { image: gone, start: noting, startTemplate: noting });
  await assert.rejects(starting, /cold start: qemu: exit status 1: .*none/);
  assert.equal(pids.length, 2);
  for (const pid of pids) assert.ok(!existsSync(`/proc/${pid}`), "it was reaped");
});
