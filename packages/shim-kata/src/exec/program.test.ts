import assert from "node:assert/strict";
import { test } from "node:test";
import { describeFailure, InvalidSpec, parseSpec } from "@trimaran/linux";
import { compileGuestExec, isDirect, isForAgent, toldSlots } from "./program.ts";

const none = { stdin: "", stdout: "", stderr: "", terminal: false };
const spec = parseSpec(
  JSON.stringify({
    ociVersion: "1.1.0",
    root: { path: "rootfs" },
    linux: { cgroupsPath: "/web", namespaces: [{ type: "pid" }, { type: "mount" }] },
  }),
);
const compile = (process: unknown, stdio = none) =>
  compileGuestExec({ id: "web", spec, initPid: 4711, process: Buffer.from(JSON.stringify(process)), stdio });

test("input and terminals are the agent's; output that nobody wants is not told", () => {
  assert.deepEqual(
    [isDirect(none), isDirect({ ...none, stdin: "/in" }), isDirect({ ...none, terminal: true })],
    [true, false, false],
  );
  assert.deepEqual(toldSlots({ ...none, stderr: "/err" }), [8]);
});

test("the program enters the container's cgroup and namespaces in the guest; a step that fails has its field's name", () => {
  const program = compile({ args: ["/nope"], cwd: "/", user: { uid: 0, gid: 0 } }, { ...none, stdout: "/out" });
  assert.ok(Buffer.from(program.bytes).includes("/sys/fs/cgroup/web\0"));
  const labels = program.labels.map(({ field, action }) => `${field}: ${action}`).join("\n");
  assert.match(labels, /init's namespaces: setns/);
  const find = program.labels.findIndex(({ field }) => field.startsWith("process.args[0]"));
  assert.match(describeFailure(program, find, 2), /process\.args\[0\] "\/nope"/);
});

test("a process that is none is refused with its field; a cgroup that takes no process is the agent's", () => {
  assert.throws(() => compile({ args: [], cwd: "/" }), InvalidSpec);
  assert.deepEqual([isForAgent({ errno: 16 }), isForAgent({ errno: 2 })], [true, false]);
});
