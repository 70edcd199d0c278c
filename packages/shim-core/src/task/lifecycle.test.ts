import assert from "node:assert/strict";
import { test } from "node:test";
import { Code } from "ttrpc-ts";
import { exitStatus, fromWaitStatus } from "./exit.ts";
import { paused, pausing, reportedStatus, resumed, started, statusNumber, stopped, TaskStatus } from "./lifecycle.ts";
import { decodeRecord, type ExecRecord, encodeRecord, type TaskRecord } from "./record.ts";

const exit = { exit: { kind: "exited", code: 7 }, exitedAtNs: 1_700_000_000_123_456_789n } as const;

test("wait statuses become exit codes exactly", () => {
  for (let code = 0; code < 256; code++) assert.equal(exitStatus(fromWaitStatus(code << 8)), code);
  for (let signal = 1; signal <= 64; signal++) assert.equal(exitStatus(fromWaitStatus(signal)), 128 + signal);
  assert.equal(exitStatus(fromWaitStatus(0x80 | 11)), 139, "a core dump is a death by its signal");
  assert.equal(exitStatus({ kind: "lost", why: "" }), 255);
});

test("a verb that is not legal names the state", () => {
  assert.throws(() => started({ state: "running", pid: 1 }, 1), {
    code: Code.FailedPrecondition,
    message: "cannot start a running process",
  });
  assert.throws(() => started({ state: "stopped", pid: 1, exit }, 1), { message: "cannot start a stopped process" });
  assert.throws(() => pausing({ state: "paused", pid: 1 }), { message: "cannot pause a paused process" });
  assert.throws(() => resumed({ state: "running", pid: 1 }), { message: "cannot resume a running process" });
});

test("pause, and an exit in the middle of it", () => {
  const freezing = pausing({ state: "running", pid: 5 });
  assert.equal(statusNumber(freezing), TaskStatus.pausing);
  assert.equal(paused(freezing).state, "paused");
  assert.equal(paused(stopped(freezing, 5, exit)).state, "stopped");
});

test("the first exit counts", () => {
  const first = stopped({ state: "running", pid: 5 }, 5, exit);
  assert.equal(stopped(first, 5, { ...exit, exit: { kind: "signaled", signal: 9 } }), first);
  assert.equal(reportedStatus(first), 7);
});

test("a record survives its note: bytes, 64-bit times, and all", () => {
  const record: TaskRecord = {
    request: {
      id: "web",
      namespace: "n",
      bundle: "/b",
      rootfs: [{ type: "overlay", source: "overlay", target: "", options: ["lowerdir=/a"] }],
      stdio: { stdin: "", stdout: "/o", stderr: "", terminal: false },
      options: [{ typeUrl: "t", value: Buffer.from([0, 255, 10]) }],
    },
    state: { state: "stopped", pid: 5, exit },
    addedBy: "1:1",
    oomKills: 2,
  };
  assert.deepEqual(decodeRecord<TaskRecord>(encodeRecord(record)), record);
});

test("the note of an older task server is read: bytes were arrays of numbers", () => {
  const request = { id: "e", stdio: {}, spec: Buffer.from('{"args":["true"]}') };
  const note = Buffer.from(JSON.stringify({ request, addedBy: "1:1" }));
  assert.deepEqual(decodeRecord<ExecRecord>(note).request.spec, request.spec);
});
