import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { CgroupHost } from "../cgroup/host.ts";
import type { CgroupPlan } from "../cgroup/plan.ts";
import { MESSAGE, type Message } from "../dbus/message.ts";
import { FakeBus, failure, reply, type Sent } from "../dbus/testing/fake-bus.ts";
import { isList } from "../dbus/value.ts";
import { startScope, stopScope } from "./scope.ts";

const folder = mkdtempSync(join(tmpdir(), "trimaran-scope-"));
after(() => rmSync(folder, { recursive: true }));

const HOST: CgroupHost = { mode: "v2", root: folder, hierarchies: [], unified: { mountPoint: folder, ownPath: "/" } };
const UNIT = "trm-web.scope";
const PID = 4711;
const PLAN: CgroupPlan = {
  path: `/a.slice/${UNIT}`,
  hierarchies: [],
  unified: join(folder, UNIT),
  unifiedMountPoint: folder,
  directories: [join(folder, UNIT)],
  scope: { unit: UNIT, slice: "a.slice" },
};
const START = {
  id: "web",
  pid: PID,
  resources: { pids: { limit: 5 } },
  devices: true,
  annotations: new Map<string, string>(),
};
const JOB = "/org/freedesktop/systemd1/job/12";

/** As systemd's end of a job tells of it. */
function jobRemoved(result: string, job = JOB): Sent {
  const from = { path: "/org/freedesktop/systemd1", interface: "org.freedesktop.systemd1.Manager" };
  return { kind: MESSAGE.signal, ...from, member: "JobRemoved", signature: "uoss", body: [12, job, UNIT, result] };
}

/** systemd puts processes into the scope. */
function place(...pids: readonly number[]): void {
  mkdirSync(PLAN.unified ?? "", { recursive: true });
  writeFileSync(join(PLAN.unified ?? "", "cgroup.procs"), pids.map((pid) => `${pid}\n`).join(""));
}

type Answers = Readonly<Record<string, (call: Message, nth: number) => readonly Sent[]>>;

/** A systemd that answers so; what is not named succeeds. `direct`: without a bus. */
async function openSystemd(answers: Answers, direct = false) {
  place();
  const bus = await FakeBus.open();
  const counts = new Map<string, number>();
  bus.answer = (call) => {
    const member = call.member ?? "";
    const nth = (counts.get(member) ?? 0) + 1;
    counts.set(member, nth);
    const answer = answers[member];
    if (answer !== undefined) return answer(call, nth);
    return member.endsWith("Unit") && member !== "ResetFailedUnit"
      ? [reply(call, "o", JOB), jobRemoved("done")]
      : [reply(call)];
  };
  const nowhere = join(folder, "nowhere");
  const sockets = { bus: direct ? nowhere : bus.path, direct: direct ? bus.path : nowhere, booted: folder };
  const members = () => bus.calls.map(({ member }) => member);
  return { bus, sockets, members, [Symbol.asyncDispose]: () => bus[Symbol.asyncDispose]() };
}

const started = (call: Message): readonly Sent[] => {
  place(PID);
  return [jobRemoved("done", "/another/job"), reply(call, "o", JOB), jobRemoved("done")];
};
const exists = (call: Message) => [
  failure(call, "org.freedesktop.systemd1.UnitExists", `Unit ${UNIT} already exists.`),
];

test("by the bus: hello, the news of jobs, the unit", async () => {
  await using systemd = await openSystemd({ StartTransientUnit: started });
  await startScope(HOST, PLAN, START, systemd.sockets);
  assert.deepEqual(systemd.members(), ["Hello", "AddMatch", "Subscribe", "StartTransientUnit"]);
  const call = systemd.bus.calls.at(-1);
  assert.equal(call?.destination, "org.freedesktop.systemd1");
  const [unit, mode, properties, aux] = call?.body ?? [];
  assert.deepEqual([unit, mode, aux], [UNIT, "replace", []]);
  assert.ok(isList(properties) && properties.some((each) => isList(each) && each[0] === "TasksMax"));
});

test("without a bus: systemd itself, who needs no greeting", async () => {
  await using systemd = await openSystemd({ StartTransientUnit: started }, true);
  await startScope(HOST, PLAN, START, systemd.sockets);
  assert.deepEqual(systemd.members(), ["StartTransientUnit"]);
  assert.equal(systemd.bus.calls[0]?.destination, undefined);
});

test("news of the job that are faster than the call's answer", async () => {
  const early = (call: Message): readonly Sent[] => {
    place(PID);
    return [jobRemoved("done"), reply(call, "o", JOB)];
  };
  await using systemd = await openSystemd({ StartTransientUnit: early });
  await startScope(HOST, PLAN, START, systemd.sockets);
});

test("a job that fails, a refusal, a process that is elsewhere: each says so", async () => {
  const failing: readonly [Answers, RegExp][] = [
    [{ StartTransientUnit: (call) => [reply(call, "o", JOB), jobRemoved("failed")] }, /its job ended as "failed"/],
    [
      {
        StartTransientUnit: (call) => [
          failure(call, "org.freedesktop.DBus.Error.PropertyReadOnly", "Cannot set property X"),
        ],
      },
      /unit trm-web\.scope: cannot be started: Cannot set property X$/,
    ],
    [{}, /systemd has put process 4711 elsewhere/],
    [{ StartTransientUnit: (call) => [reply(call, "u", 1)] }, /no job came back/],
  ];
  for (const [answers, message] of failing) {
    await using systemd = await openSystemd(answers);
    await assert.rejects(startScope(HOST, PLAN, START, systemd.sockets), { name: "CgroupError", message });
  }
});

test("a unit that exists: ours from before a crash, an empty remainder, somebody else's", async () => {
  {
    await using systemd = await openSystemd({ StartTransientUnit: exists });
    place(PID);
    await startScope(HOST, PLAN, START, systemd.sockets);
    assert.equal(systemd.members().at(-1), "StartTransientUnit");
  }
  {
    const again = (call: Message, nth: number) => (nth === 1 ? exists(call) : started(call));
    const gone = (call: Message) => [failure(call, "org.freedesktop.systemd1.NoSuchUnit", "Unit not loaded.")];
    await using systemd = await openSystemd({ StartTransientUnit: again, StopUnit: gone, ResetFailedUnit: gone });
    await startScope(HOST, PLAN, START, systemd.sockets);
    assert.deepEqual(systemd.members().slice(-3), ["StopUnit", "ResetFailedUnit", "StartTransientUnit"]);
  }
  {
    await using systemd = await openSystemd({ StartTransientUnit: exists });
    place(1);
    await assert.rejects(startScope(HOST, PLAN, START, systemd.sockets), /Unit trm-web\.scope already exists/);
    assert.equal(systemd.members().at(-1), "StartTransientUnit");
  }
});

test("stop: waits for the job; a unit that is gone is success; another error is none", async () => {
  {
    await using systemd = await openSystemd({});
    await stopScope(PLAN, systemd.sockets);
    assert.equal(systemd.members().at(-1), "StopUnit");
  }
  const answer = (code: string): Answers => ({ StopUnit: (call) => [failure(call, code, "it says")] });
  {
    await using systemd = await openSystemd(answer("org.freedesktop.systemd1.NoSuchUnit"));
    await stopScope(PLAN, systemd.sockets);
  }
  await using systemd = await openSystemd(answer("org.freedesktop.DBus.Error.AccessDenied"));
  await assert.rejects(stopScope(PLAN, systemd.sockets), {
    message: "linux.cgroupsPath: unit trm-web.scope: cannot be stopped: it says",
  });
});

test("no systemd, and one that does not answer", async (t) => {
  const nowhere = join(folder, "nowhere");
  const sockets = { bus: nowhere, direct: nowhere, booted: nowhere };
  await assert.rejects(startScope(HOST, PLAN, START, sockets), /systemd does not run here \(no .*nowhere\)/);
  await assert.rejects(
    startScope(HOST, PLAN, START, { ...sockets, booted: folder }),
    /cannot be started: connect ENOENT/,
  );
  t.mock.method(AbortSignal, "timeout", () => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(new Error("late")), 50);
    return stop.signal;
  });
  await using systemd = await openSystemd({ StartTransientUnit: () => [] });
  await assert.rejects(startScope(HOST, PLAN, START, systemd.sockets), /cannot be started: no answer in time/);
});
