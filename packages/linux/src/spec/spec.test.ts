import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultSpec } from "../launch/testing/default-spec.ts";
import { InvalidSpec } from "./invalid-spec.ts";
import { parseSeccompListener } from "./seccomp.ts";
import { parseExecProcess, parseSpec } from "./spec.ts";

type Json = Record<string, unknown>;

/** The default spec with the members at dotted paths replaced. */
function change(changes: Json): string {
  const spec: Json = JSON.parse(JSON.stringify(defaultSpec(["true"])));
  for (const [path, value] of Object.entries(changes)) {
    const keys = path.split(".");
    const last = keys.pop() ?? "";
    let at: Json = spec;
    for (const key of keys) {
      at[key] ??= {};
      at = at[key] as Json;
    }
    at[last] = value;
  }
  return JSON.stringify(spec);
}

test("the default spec of ctr parses; unknown properties are ignored", () => {
  const spec = parseSpec(change({ "process.novelty": 1, future: {}, annotations: { a: "b" }, "linux.seccomp": null }));
  assert.deepEqual(spec.process?.args, ["true"]);
  assert.equal(spec.mounts[0]?.target, "/proc");
  assert.equal(spec.linux.namespaces.size, 5);
  assert.equal(spec.annotations.get("a"), "b");
});

test("a bad value is an error that names the field", () => {
  const cases: readonly (readonly [Json, string])[] = [
    [{ "process.args": [] }, "process.args: at least one argument"],
    [{ "process.args": ["a", 3] }, "process.args[1]: not a string"],
    [{ "process.args": ["a\0b"] }, "process.args[0]: contains a NUL"],
    [{ "process.cwd": `/${"x".repeat(4095)}` }, `process.cwd "/${"x".repeat(98)}…: longer than 4095 bytes`],
    [{ "linux.sysctl": { "net.a\0": "1" } }, "linux.sysctl: a name contains a NUL"],
    [{ "process.cwd": "tmp" }, 'process.cwd "tmp": not an absolute path'],
    [{ "process.env": ["A"] }, "process.env[0]: not NAME=value"],
    [{ "process.user": { uid: 4294967295 } }, "process.user.uid 4294967295: not between 0 and 4294967294"],
    [{ "process.user": { uid: -1 } }, "process.user.uid -1: not between 0 and 4294967294"],
    [{ "process.user": { uid: "0" } }, 'process.user.uid "0": not an integer'],
    [{ "process.user": { gid: 1.5 } }, "process.user.gid 1.5: not an integer"],
    [
      { "process.user": { additionalGids: [0, 4294967296] } },
      "process.user.additionalGids[1] 4294967296: not a group id",
    ],
    [{ "process.rlimits": [{ type: "RLIMIT_X", soft: 1, hard: 1 }] }, 'process.rlimits[0].type "RLIMIT_X": unknown'],
    [{ "process.oomScoreAdj": 1001 }, "process.oomScoreAdj 1001: not between -1000 and 1000"],
    [{ "process.scheduler": { policy: "SCHED_NO" } }, 'process.scheduler.policy "SCHED_NO": unknown'],
    [
      { "process.scheduler": { policy: "SCHED_BATCH", priority: 5 } },
      "process.scheduler.priority 5: belongs to SCHED_FIFO and SCHED_RR",
    ],
    ...["runtime", "deadline", "period"].map((name): [Json, string] => [
      { "process.scheduler": { policy: "SCHED_OTHER", [name]: 5 } },
      "process.scheduler: runtime, deadline and period belong to SCHED_DEADLINE",
    ]),
    [
      { "process.scheduler": { policy: "SCHED_OTHER", flags: ["SCHED_FLAG_NO"] } },
      'process.scheduler.flags "SCHED_FLAG_NO": unknown',
    ],
    [
      { "linux.namespaces": [{ type: "mount" }, { type: "pid" }, { type: "foo" }] },
      'linux.namespaces[2].type "foo": unknown',
    ],
    [{ "linux.namespaces": [{ type: "mount" }, { type: "mount" }] }, 'linux.namespaces[1].type "mount": given twice'],
    [{ "linux.namespaces": [{ type: "mount", path: "rel" }] }, 'linux.namespaces[0].path "rel": not an absolute path'],
    [{ "linux.namespaces": [] }, "linux.namespaces: a mount namespace is required"],
    [{ "linux.uidMappings": [{ containerID: 0, hostID: 0, size: 1 }] }, "linux.uidMappings: without a user namespace"],
    [
      { "linux.namespaces": [{ type: "mount" }, { type: "user" }] },
      "linux.uidMappings: a new user namespace needs some",
    ],
    [{ "linux.sysctl": { "kernel.core_pattern": "x" } }, 'linux.sysctl "kernel.core_pattern": not of a namespace'],
    [
      { "linux.sysctl": { "net/../kernel/core_pattern": "x" } },
      'linux.sysctl "net/../kernel/core_pattern": not a name',
    ],
    [
      { "linux.sysctl": { "kernel.shm_rmid_forced": "1+kernel.core_pattern=x\n" } },
      'linux.sysctl["kernel.shm_rmid_forced"] "1+kernel.core_pattern=x\\n": has a newline',
    ],
    [
      { "linux.sysctl": { "user.max_user_namespaces": "1" } },
      'linux.sysctl "user.max_user_namespaces": needs a user namespace of its own',
    ],
    [{ "linux.intelRdt": { closID: "../x" } }, 'linux.intelRdt.closID "../x": no group\'s name'],
    [{ "linux.intelRdt": { closID: "mon_groups" } }, 'linux.intelRdt.closID "mon_groups": no group\'s name'],
    [
      { "linux.intelRdt": { memBwSchema: "MB:0=1\nL3:0=f" } },
      'linux.intelRdt.memBwSchema "MB:0=1\\nL3:0=f": not one line that begins with MB:',
    ],
    [{ "linux.intelRdt": { schemata: "L3:0=f" } }, "linux.intelRdt.schemata: not an array"],
    ...["enableCMT", "enableMBM", "enableMonitoring"].map((name): [Json, string] => [
      { "linux.intelRdt": { [name]: 1 } },
      `linux.intelRdt.${name}: not a boolean`,
    ]),
    [{ "linux.memoryPolicy": { mode: "MPOL_BIND" } }, "linux.memoryPolicy.nodes: MPOL_BIND needs some"],
    [{ "linux.memoryPolicy": { mode: "MPOL_X" } }, 'linux.memoryPolicy.mode "MPOL_X": unknown'],
    [
      { "linux.memoryPolicy": { mode: "MPOL_LOCAL", flags: ["MPOL_F_X"] } },
      'linux.memoryPolicy.flags "MPOL_F_X": unknown',
    ],
    [
      { "linux.memoryPolicy": { mode: "MPOL_BIND", nodes: "1-" } },
      'linux.memoryPolicy.nodes "1-": not a list like 0-3,7',
    ],
    [
      { "linux.netDevices": { eth0: {} }, "linux.namespaces": [{ type: "mount" }] },
      "linux.netDevices: needs a network namespace",
    ],
    [{ "linux.netDevices": { "a/b": {} } }, 'linux.netDevices "a/b": not an interface\'s name'],
    [
      { "linux.netDevices": { a: { name: "x".repeat(16) } } },
      `linux.netDevices.a.name "${"x".repeat(16)}": not an interface's name`,
    ],
    [{ "linux.netDevices": { a: { name: "c" }, b: { name: "c" } } }, 'linux.netDevices.b.name "c": given twice'],
    [{ "linux.personality": { domain: "LINUX", flags: ["X"] } }, "linux.personality.flags: not supported yet"],
    [{ "linux.timeOffsets": { monotonic: { secs: 1 } } }, "linux.timeOffsets: needs a new time namespace"],
    [{ "linux.rootfsPropagation": "up" }, 'linux.rootfsPropagation "up": unknown'],
    [{ hooks: { prestart: [{ path: "bin/true" }] } }, 'hooks.prestart[0].path "bin/true": not an absolute path'],
    [{ hooks: { poststop: [{ args: ["a"] }] } }, "hooks.poststop[0].path: missing"],
    [
      { hooks: { createRuntime: [{ path: "/a", timeout: 0 }] } },
      "hooks.createRuntime[0].timeout 0: not between 1 and 1000000",
    ],
    [
      { mounts: [{ destination: "/a", type: "bind", uidMappings: [{ containerID: 0, hostID: 1, size: 1 }] }] },
      "mounts[0].gidMappings: uidMappings need them, too",
    ],
    [{ mounts: [{ destination: "/a/..", type: "tmpfs" }] }, 'mounts[0].destination "/a/..": is the root'],
    [{ mounts: [{ type: "tmpfs" }] }, "mounts[0].destination: missing"],
    [{ ociVersion: "2.0.0" }, 'ociVersion "2.0.0": not 1.x'],
    [{ ociVersion: 1 }, "ociVersion: not a string"],
    [{ process: [] }, "process: not an object"],
    [{ hostname: "x".repeat(65) }, `hostname "${"x".repeat(65)}": longer than 64 bytes`],
  ];
  for (const [changes, message] of cases) {
    assert.throws(
      () => parseSpec(change(changes)),
      (error: unknown) => {
        assert.ok(error instanceof InvalidSpec, String(error));
        assert.equal(error.message, message);
        return true;
      },
    );
  }
});

test("hostname without a uts namespace, versions, no process", () => {
  assert.throws(
    () => parseSpec(change({ hostname: "a", "linux.namespaces": [{ type: "mount" }] })),
    /^InvalidSpec: hostname "a": needs a uts namespace$/,
  );
  for (const ociVersion of ["1.0.0", "1.0.2-dev", "1.1.0+dev", "1.3.0"]) parseSpec(change({ ociVersion }));
  assert.equal(parseSpec(change({ process: null })).process, undefined);
});

test("of duplicates in env the last wins; limits near 2⁶⁴ are infinity", () => {
  const changes = {
    "process.env": ["A=1", "B=2", "A=3"],
    "process.rlimits": [{ type: "RLIMIT_CORE", soft: 0, hard: 18446744073709552000 }],
  };
  const { process } = parseSpec(change(changes));
  assert.deepEqual(process?.env, ["A=3", "B=2"]);
  assert.deepEqual(process?.rlimits[0], { name: "RLIMIT_CORE", resource: 4, soft: 0n, hard: 2n ** 64n - 1n });
});

test("destinations are cleaned, relative ones are absolute", () => {
  const mounts = ["a/b", "//a/./b/", "/a/../../b"].map((destination) => ({ destination, type: "tmpfs" }));
  assert.deepEqual(
    parseSpec(change({ mounts })).mounts.map(({ target }) => target),
    ["/a/b", "/a/b", "/b"],
  );
});

test("sysctl names: the first separator decides", () => {
  const sysctl = { "net/ipv4/conf/eno2.100/x": "1", "net.ipv4.conf.eno2/100.y": "2" };
  const files = parseSpec(change({ "linux.sysctl": sysctl })).linux.sysctl.map(({ file }) => file);
  assert.deepEqual(files, ["net/ipv4/conf/eno2.100/x", "net/ipv4/conf/eno2.100/y"]);
});

test("bounds: size, depth, no JSON", () => {
  assert.throws(() => parseSpec(" ".repeat((4 << 20) + 1)), /config\.json: more than 4194304 bytes/);
  assert.throws(() => parseSpec("{"), /config\.json: not JSON/);
  assert.throws(() => parseSpec(Uint8Array.of(0x22, 0xff, 0x22)), /config\.json: not JSON/);
  assert.throws(() => parseSpec("null"), /config\.json: not an object/);
  assert.throws(() => parseExecProcess("[]"), /process: not an object/);
});

test("a prototype's members are no fields", () => {
  assert.throws(() => parseSpec('{"__proto__":{"ociVersion":"1.0.0"}}'), /ociVersion: missing/);
});

test("exec's cpu lists", () => {
  const process = (initial: string) => ({ args: ["a"], cwd: "/", execCPUAffinity: { initial, final: "1" } });
  const { execCpuAffinity } = parseExecProcess(JSON.stringify(process("0-2,5")));
  assert.deepEqual(execCpuAffinity, { initial: [0, 1, 2, 5], final: [1] });
  for (const bad of ["3-1", "x", "1,,2", "99999", "8192"])
    assert.throws(() => parseExecProcess(JSON.stringify(process(bad))), InvalidSpec);
});

test("a seccomp listener", () => {
  assert.equal(parseSeccompListener(undefined), undefined);
  assert.equal(parseSeccompListener({ defaultAction: "SCMP_ACT_ALLOW" }), undefined);
  const given = { listenerPath: "/run/agent.sock", listenerMetadata: "m" };
  assert.deepEqual(parseSeccompListener(given), { path: "/run/agent.sock", metadata: "m" });
  for (const [bad, message] of [
    [{ listenerMetadata: "m" }, /listenerMetadata: without a listenerPath/],
    [{ listenerPath: "agent.sock" }, /listenerPath "agent\.sock": not an absolute path/],
    [{ listenerPath: `/${"x".repeat(107)}` }, /listenerPath .*: longer than 107 bytes/],
  ] as const)
    assert.throws(() => parseSeccompListener(bad), message);
});
