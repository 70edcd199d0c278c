import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { DEFAULT_DIRECTORIES, type ManagerClient, openClient } from "@trimaran/manager";
import type { EngineDaemon } from "./harness/config.ts";
import { type Engine, startContainerd } from "./harness/containerd.ts";
import { IMAGE } from "./harness/images.ts";
import { assertNoLeaks, snapshot } from "./harness/leaks.ts";
import { normalize, type Step, transcribe } from "./harness/transcript.ts";

const RUNTIME = "io.containerd.trimaran-runc.v2";
const RUN = `--runtime ${RUNTIME} --sandbox pod`;

/** Containers in the sandbox `pod`, which runs. */
const INSIDE: readonly Step[] = [
  "sandboxes ls",
  "sandboxes ls --filters id==pod",
  "sandboxes ls --filters id==other",
  "sandboxes ls --filters id=pod",
  "sandboxes rm none",
  `run --rm ${RUN} $IMAGE one sh -c exit\t7`,
  `run --rm ${RUN} $IMAGE two echo hello`,
  `run --rm ${RUN} $IMAGE three /no/such/program`,
  `run -d ${RUN} $IMAGE box sleep 1000`,
  "tasks ls -q",
  "tasks exec --exec-id e1 box echo from exec",
  "tasks kill -s 9 box",
  "tasks attach box",
  "tasks rm box",
  "tasks ls -q",
  "containers rm box",
  `run --rm --runtime ${RUNTIME} --sandbox unheard-of $IMAGE four echo alone`,
];

/** A sandbox on record that does not run. */
const GONE: readonly Step[] = [`run --rm ${RUN} $IMAGE five true`, "containers rm five", "tasks ls -q", "sandboxes ls"];

/** The code of a call's failure, or what it answers. */
async function answer<T>(call: Promise<T>): Promise<T | number> {
  try {
    return await call;
  } catch (error) {
    return (error as { code: number }).code;
  }
}

/** What both daemons are asked; the answers without times and pids. */
async function life(engine: Engine, client: ManagerClient): Promise<unknown[]> {
  const { sandboxStore: store, sandboxController: controller } = client.services;
  const [pod, unknown] = [
    { sandboxId: "pod", sandboxer: "shim" },
    { sandboxId: "none", sandboxer: "shim" },
  ];
  const spec = { typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Spec", value: Buffer.from("{}") };
  const sandbox = { sandboxId: "pod", runtime: { name: RUNTIME }, spec, labels: { a: "b" }, sandboxer: "shim" };
  const seen: unknown[] = [];
  const say = async <T>(name: string, call: Promise<T>, shown: (value: T) => unknown = (value) => value) => {
    const value = await answer(call);
    seen.push([name, typeof value === "number" ? `code ${value}` : shown(value as T)]);
  };
  await say("store", store.create({ sandbox }), ({ sandbox: made }) => [
    made?.sandboxId,
    made?.labels,
    made?.sandboxer,
  ]);
  await say("store again", store.create({ sandbox }), Object);
  await say("bad id", store.create({ sandbox: { ...sandbox, sandboxId: "a..b" } }), Object);
  await say("label", store.update({ sandbox: { ...sandbox, labels: { c: "d" } }, fields: ["labels.c"] }), (value) =>
    Object.entries(value.sandbox?.labels ?? {}).sort(),
  );
  await say("bad field", store.update({ sandbox, fields: ["sandboxer"] }), Object);
  await say("other runtime", store.update({ sandbox: { ...sandbox, runtime: { name: "x" } } }), Object);
  await say("unknown update", store.update({ sandbox: { ...sandbox, sandboxId: "none" } }), Object);
  await say("unknown get", store.get(unknown), Object);
  await say("unknown delete", store.delete(unknown), Object);
  await say("other sandboxer", controller.create({ ...pod, sandboxer: "none", sandbox }), Object);
  await say(
    "no such runtime",
    controller.create({ ...pod, sandbox: { ...sandbox, runtime: { name: "io.none.v1" } } }),
    Object,
  );
  await say("create", controller.create({ ...pod, sandbox }));
  await say("create again", controller.create({ ...pod, sandbox }), Object);
  await say("start", controller.start(pod), ({ sandboxId, pid, labels }) => [sandboxId, pid > 0, labels]);
  await say("start again", controller.start(pod), Object);
  seen.push(...(await transcribe(engine, []))); // no collection comes in between
  // a second Start that is refused ends the sandbox, with containerd as with us
  await say("status after", controller.status(pod), ({ state }) => state);
  await say("create anew", controller.create({ ...pod, sandbox }));
  await say("start anew", controller.start(pod), ({ pid }) => pid > 0);
  await say("status", controller.status({ ...pod, verbose: true }), ({ state, pid, info }) => [state, pid > 0, info]);
  await say("metrics", controller.metrics(pod), Object);
  seen.push(...(await transcribe(engine, INSIDE)));
  await say("unknown wait", controller.wait(unknown), Object);
  await say("unknown shutdown", controller.shutdown(unknown), Object);
  const waiting = controller.wait(pod);
  await say("stop", controller.stop({ ...pod, timeoutSecs: 1 }));
  await say("wait", waiting, ({ exitStatus }) => exitStatus);
  await say("stopped", controller.status(pod), ({ state }) => state);
  await say("shutdown", controller.shutdown(pod));
  seen.push(...(await transcribe(engine, GONE)));
  await say("delete", store.delete(pod));
  await say("list", store.list({}), ({ list }) => list.length);
  return seen;
}

function clientOf({ namespace, address }: Engine): Promise<ManagerClient> {
  const place = { directories: DEFAULT_DIRECTORIES, namespace, address, access: "write" } as const;
  const own = { shimDirectories: [], environment: {}, publishBinary: "/bin/false", debug: false, version: "" };
  return openClient({ ...place, ...own });
}

/** containerd 2.1 serves the controller only with CRI's pods beside it. */
async function run(daemon: EngineDaemon): Promise<{ readonly seen: unknown[]; readonly events: readonly string[] }> {
  await using engine = await startContainerd({ version: "2.x", daemon, cri: daemon === "containerd" });
  await using client = await clientOf(engine);
  const clean = await snapshot(engine);
  const listener = engine.spawnCtr("events");
  const printed = text(listener.stdout);
  const seen = await life(engine, client);
  listener.kill("SIGKILL");
  await assertNoLeaks(engine, clean);
  const lines = normalize(engine, await printed).split("\n");
  const told = lines.filter((line) => line.includes(" /sandboxes/"));
  return { seen, events: told.map((line) => line.replace(/"exited_at":\{[^}]*\}/, '"exited_at":…')) };
}

test("sandboxes of our shim live the same life with both daemons", { timeout: 240_000 }, async () => {
  const [theirs, ours] = await Promise.all([run("containerd"), run("trimaran")]);
  assert.deepEqual(ours.seen, theirs.seen);
  assert.deepEqual(ours.events, theirs.events);
});

describe("where containerd 2.1 fails with its own ctr", () => {
  test("sandboxes run, and containers in it, across a restart of daemon and task server", {
    timeout: 240_000,
  }, async () => {
    await using engine = await startContainerd({ version: "2.x", daemon: "trimaran" });
    const clean = await snapshot(engine);
    const spec = join(engine.dir, "pod.json");
    await writeFile(spec, "{}");
    await engine.ctrOk("sandboxes", "run", "--runtime", RUNTIME, spec, "pod");
    const id = engine.newId();
    await engine.ctrOk("run", "-d", "--runtime", RUNTIME, "--sandbox", "pod", IMAGE, id, "sleep", "1000");
    await engine.restart();
    for (const pid of await engine.taskServerPids()) process.kill(pid, "SIGKILL");
    assert.equal(await engine.ctrOk("tasks", "exec", "--exec-id", "e", id, "echo", "hello"), "hello\n");
    assert.match(await engine.ctrOk("sandboxes", "ls"), /^pod /m);
    await engine.ctrOk("sandboxes", "rm", "pod"); // its container ends with it
    assert.equal(await engine.ctrOk("tasks", "ls", "-q"), "");
    assert.doesNotMatch(await engine.ctrOk("sandboxes", "ls"), /pod/);
    await engine.ctrOk("containers", "rm", id);
    await assertNoLeaks(engine, clean);
  });
});

test("a sandbox whose monitor is killed leaves nothing, and its containers' ends are told", {
  timeout: 240_000,
}, async () => {
  await using engine = await startContainerd({ version: "2.x", daemon: "trimaran" });
  await using client = await clientOf(engine);
  const clean = await snapshot(engine);
  const spec = join(engine.dir, "pod.json");
  await writeFile(spec, "{}");
  const [pod, id] = [engine.newId(), engine.newId()];
  await engine.ctrOk("sandboxes", "run", "--runtime", RUNTIME, spec, pod);
  await engine.ctrOk("run", "-d", "--runtime", RUNTIME, "--sandbox", pod, IMAGE, id, "sleep", "1000");
  const { pid } = await client.services.sandboxController.status({ sandboxId: pod });
  const stop = new AbortController();
  const ended = (async () => {
    const filters = [`topic==/tasks/delete,event.container_id==${id}`];
    for await (const { topic } of client.services.events.subscribe({ filters }, { signal: stop.signal })) return topic;
    return undefined;
  })();
  await client.services.namespaces.list({}); // the subscription is there: calls of one connection keep their order
  process.kill(pid, "SIGKILL");
  assert.equal(await ended, "/tasks/delete");
  await assert.rejects(client.services.tasks.get({ containerId: id }), { code: 5 });
  await engine.ctrOk("sandboxes", "rm", pod);
  await engine.ctrOk("containers", "rm", id);
  stop.abort();
  await assertNoLeaks(engine, clean);
});
