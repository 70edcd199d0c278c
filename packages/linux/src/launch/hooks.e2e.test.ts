import assert from "node:assert/strict";
import { existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, afterEach, before, test } from "node:test";
import { SYNC_CODE } from "./opcodes.ts";
import { defaultSpec } from "./testing/default-spec.ts";
import { type Outcome, TestPod } from "./testing/pod.ts";

let pod: TestPod;
before(async () => {
  pod = await TestPod.open();
});
afterEach(() => {
  pod.onSync = undefined;
});
after(() => pod[Symbol.asyncDispose]());

interface TestHook {
  readonly path: string;
  readonly args: readonly string[];
  readonly env?: readonly string[];
  readonly timeout?: number;
}

/** A shell of the host's, or of the image's: both are at this path. */
function shell(script: string, more: Partial<TestHook> = {}): TestHook {
  return { path: "/bin/sh", args: ["sh", "-c", script], ...more };
}

function configure(script: string, hooks: Record<string, readonly TestHook[]>, kinds?: readonly string[]) {
  const config = { ...defaultSpec(["sh", "-c", script]), hooks, annotations: { colour: "blue" } };
  if (kinds !== undefined) config.linux.namespaces = kinds.map((type) => ({ type }));
  return config;
}

async function run(hooks: Record<string, readonly TestHook[]>, kinds?: readonly string[]): Promise<Outcome> {
  const container = await pod.create(configure("echo main; cat /tmp/trace 2>/dev/null", hooks, kinds));
  return container.end();
}

test("createContainer: the container's namespaces, the host's files, state, cwd, environment", async () => {
  const out = join(pod.folder, "create-container");
  const script = [
    "cat",
    "echo",
    "pwd",
    "readlink /proc/self/ns/uts",
    "echo $$",
    `grep -c ' ${pod.bundle}/rootfs ' /proc/self/mountinfo`, // the root where the spec says, in this mount namespace only
    "ls -d rootfs/proc/1 2>&1 | head -1",
    "env | sort | grep -v ^_=",
    "ls -l /proc/self/fd | grep -vc ' -> /proc'",
  ].join("; ");
  const config = configure("true", {
    createContainer: [shell(`{ ${script}; } > ${out}`, { env: ["A=1"] })],
  });
  const before = pod.hostMounts();
  const container = await pod.create(config);
  assert.equal((await container.end()).failure, undefined);
  const [state = "", pwd, uts, pid, mounts, , ...rest] = readFileSync(out, "utf8").trim().split("\n");
  assert.deepEqual(JSON.parse(state), {
    ociVersion: "1.0.2-dev",
    id: container.plan.id,
    status: "creating",
    pid: 1,
    bundle: pod.bundle,
    annotations: { colour: "blue" },
  });
  assert.equal(pwd, pod.bundle);
  assert.match(uts ?? "", /^uts:/);
  assert.notEqual(uts, readlinkSync("/proc/self/ns/uts"));
  assert.notEqual(pid, "1");
  assert.equal(mounts, "1");
  assert.deepEqual(rest.slice(0, 2), ["A=1", `PWD=${pod.bundle}`]);
  assert.equal(pod.hostMounts(), before);
});

test("startContainer: after the gate, in the container's root, before the program", async () => {
  const config = configure("cat /tmp/trace", {
    startContainer: [shell("{ cat; echo; pwd; } > /tmp/trace"), shell("echo second >> /tmp/trace")],
  });
  const container = await pod.create(config);
  assert.equal(existsSync(pod.path("tmp/trace")), false);
  const { stdout, failure } = await container.end();
  assert.equal(failure, undefined);
  const [state = "", ...rest] = stdout.trim().split("\n");
  assert.equal(JSON.parse(state).status, "created");
  assert.equal(JSON.parse(state).pid, 1);
  assert.deepEqual(rest, ["/", "second"]);
});

for (const kind of ["createContainer", "startContainer"] as const) {
  test(`${kind}: failures name the hook, what it wrote is told, the container does not run`, async () => {
    const told: string[] = [];
    pod.onSync = (sync, link) => {
      if (sync.code === SYNC_CODE.HOOK_FAILED)
        told.push(`${sync.value >> 8n} ${Buffer.from(sync.data).toString().replaceAll("\0", "")}`);
      link.syncReply(sync.key, 0, 0n);
    };
    const only = (hook: TestHook) => ({ [kind]: [hook] });
    const cases: [TestHook, string][] = [
      [shell("echo no luck >&2; exit 3"), `hooks.${kind}[0] "/bin/sh": failed`],
      [
        { path: "/nothing", args: ["x"] },
        `hooks.${kind}[0] "/nothing": no such file or directory (ENOENT from execve)`,
      ],
    ];
    for (const [hook, message] of cases) {
      const config = configure("echo ran", only(hook));
      const container = await pod.create(config);
      const outcome = await container.end();
      assert.equal(outcome.failure, message);
      assert.equal(outcome.code, 255);
      assert.equal(outcome.stdout, "");
    }
    assert.deepEqual(told, [`3 hooks.${kind}[0] "/bin/sh"\nno luck\n`]);
  });
}

test("a hook that takes too long is killed; what it left behind holds nothing up", async () => {
  const started = Date.now();
  const slow = await run({ createContainer: [shell("sleep 60", { timeout: 1 })] });
  assert.equal(slow.failure, 'hooks.createContainer[0] "/bin/sh": did not end in time');
  const quick = await run({ createContainer: [shell("sleep 5 & exit 0", { timeout: 4 })] });
  assert.equal(quick.failure, undefined);
  assert.match(quick.stdout, /^main\n/);
  assert.ok(Date.now() - started < 4500, String(Date.now() - started));
});

test("prestart and createRuntime: told once, before the pivot, when everything is mounted", async () => {
  const codes: number[] = [];
  pod.onSync = (sync, link) => {
    codes.push(sync.code);
    const pid = link.processes.get(sync.key)?.pid;
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, "utf8");
    assert.match(mounts, new RegExp(` ${pod.bundle}/rootfs/proc `));
    writeFileSync(pod.path("tmp/trace"), "by a hook\n");
    link.syncReply(sync.key, 0, 0n);
  };
  const hook = [shell("true")];
  for (const kinds of [undefined, ["mount", "pid", "time", "network"]]) {
    const { stdout, failure } = await run({ prestart: hook, createRuntime: hook }, kinds);
    assert.equal(failure, undefined);
    assert.equal(stdout, "main\nby a hook\n");
  }
  assert.deepEqual(codes, [SYNC_CODE.HOOKS, SYNC_CODE.HOOKS]);
  const config = configure("true", { createRuntime: hook });
  pod.onSync = (sync, link) => link.syncReply(sync.key, 22, 0n);
  assert.match((await (await pod.create(config)).end()).failure ?? "", /^hooks: EINVAL from run hooks$/);
});
