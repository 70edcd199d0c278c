import assert from "node:assert/strict";
import { test } from "node:test";
import { CgroupError, describeFailure, parseSpec } from "@trimaran/linux";
import { compileGuestInit, FIRST_STDIN, firstCgroup, isDirectInit, toldSlotsOfInit } from "./program.ts";

const none = { stdin: "", stdout: "", stderr: "", terminal: false };
const NAMESPACES = [{ type: "pid" }, { type: "mount" }, { type: "network", path: "/run/netns/a" }];

function specOf({
  hooks = {},
  namespaces = NAMESPACES as readonly object[],
  process = { args: ["/x"], cwd: "/" },
} = {}) {
  const linux = { cgroupsPath: firstCgroup("web"), namespaces, uidMappings: [], gidMappings: [] };
  return parseSpec(JSON.stringify({ ociVersion: "1.1.0", root: { path: "/r" }, process, hooks, linux }));
}

const compile = (resources: unknown, stdio = none) => {
  const spec = specOf({ namespaces: [{ type: "pid" }, { type: "mount" }] });
  return compileGuestInit({ id: "web", spec, rootfs: [], stdio }, resources);
};

test("the agent's: terminals, hooks, namespaces that are not its own, limits that need a second try", () => {
  const isDirect = (spec = specOf(), resources: unknown = {}, stdio = none) => isDirectInit(spec, resources, stdio);
  assert.ok(isDirect());
  assert.ok(isDirect(specOf(), { memory: { limit: 1 << 24 }, pids: { limit: 3 } }, { ...none, stdin: "/in" }));
  assert.ok(!isDirect(specOf(), {}, { ...none, terminal: true }));
  assert.ok(!isDirect(specOf({ hooks: { poststop: [{ path: "/hook" }] } })));
  assert.ok(!isDirect(specOf({ namespaces: [{ type: "mount" }] })));
  assert.ok(!isDirect(specOf({ namespaces: [{ type: "mount" }, { type: "pid", path: "/proc/1/ns/pid" }] })));
  assert.ok(!isDirect(specOf({ namespaces: [...NAMESPACES, { type: "time" }] })));
  assert.ok(!isDirect(specOf(), { cpu: { quota: 1000, burst: 100 } }));
});

test("a limit that no kernel has is refused with its field; one that the guest's refuses fails at a step of that name", () => {
  assert.throws(() => compile({ memory: { swappiness: 3 } }), CgroupError);
  const program = compile({ pids: { limit: 77 } });
  const step = program.labels.findIndex(({ action }) => action === "write pids.max");
  assert.match(describeFailure(program, step, 22), /linux\.resources\.pids\.limit 77: .*EINVAL/);
  for (const text of ["/sys/fs/cgroup/.first/web\0", "/sys/fs/cgroup/.first/web/pids.max\0"])
    assert.ok(Buffer.from(program.bytes).includes(text), text);
});

test("only who has a stdin gets a FIFO; news of memory are told beside the output", () => {
  assert.ok(!Buffer.from(compile({}).bytes).includes(FIRST_STDIN));
  assert.ok(Buffer.from(compile({}, { ...none, stdin: "/in" }).bytes).includes(FIRST_STDIN));
  assert.deepEqual(toldSlotsOfInit({ ...none, stdout: "/out" }), [6, 11]);
});
