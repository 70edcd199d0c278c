import assert from "node:assert/strict";
import { test } from "node:test";
import { compileExec } from "../launch/exec.ts";
import type { HostFeatures } from "../launch/host.ts";
import { compileInit } from "../launch/init.ts";
import { type Program, ProgramBuilder } from "../launch/program.ts";
import { defaultSpec } from "../launch/testing/default-spec.ts";
import { parseSpec } from "../spec/spec.ts";
import { everything } from "../spec/testing/everything.ts";
import { compareSteps } from "./difference.ts";
import { disassemble } from "./disassemble.ts";
import { formatDifference, formatProgram } from "./text.ts";

const HOST: HostFeatures = {
  architecture: "x86_64",
  kernel: [6, 18],
  kcore: true,
  selinux: true,
  inUserNamespace: false,
  namespaceInodes: { network: 1, ipc: 2, uts: 3, user: 4 },
};
const STDIO = { kind: "slots", stdin: 0, stdout: 1, stderr: 2, prelude() {} } as const;

function init(config: unknown): Program {
  return compileInit({
    id: "web",
    spec: parseSpec(JSON.stringify(config)),
    bundle: "/b",
    rootfs: [],
    stdio: STDIO,
    cgroup: { attachFiles: [], into: "/cg", ownDirs: [] },
    host: HOST,
  });
}

function exec(): Program {
  const spec = parseSpec(JSON.stringify(defaultSpec(["sh"])));
  assert.ok(spec.process !== undefined);
  const { process } = spec;
  const cgroup = { attachFiles: [] };
  return compileExec({ id: "web", process, spec, init: { pid: 9 }, stdio: STDIO, cgroup, host: HOST });
}

test("a start makes namespaces and enters none; an exec enters them and makes none", () => {
  const kinds = ["mount", "uts", "ipc", "pid", "network"];
  const started = disassemble(init(defaultSpec(["sh"])));
  assert.deepEqual([started.newNamespaces, started.joinedNamespaces], [kinds, []]);
  const entered = disassemble(exec());
  assert.deepEqual([entered.newNamespaces, entered.joinedNamespaces], [[], kinds]);
  assert.deepEqual(
    entered.steps.filter(({ call }) => call === "setns" || call === "unshare").map(({ call }) => call),
    ["setns"],
  );
  assert.equal(entered.processes, 2);
});

test("arguments are decoded: flags by name, structures opened, secrets not", () => {
  const config = defaultSpec(["sh", "-c", "true"]);
  config.process.env.push("TOKEN=hunter2");
  const text = formatProgram(disassemble(init(config)));
  for (const part of [
    'openat2(r0, "rootfs", {O_CLOEXEC|O_PATH|O_DIRECTORY, RESOLVE_NO_MAGICLINKS|RESOLVE_NO_SYMLINKS})',
    'mount_setattr(r2, "", AT_EMPTY_PATH|AT_RECURSIVE, {MS_SLAVE})',
    "fsmount(r0, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID|MOUNT_ATTR_NODEV|MOUNT_ATTR_NOEXEC)",
    'mknodat(r6, "null", S_IFCHR|0666, 1:3)',
    "prlimit64(0, RLIMIT_NOFILE, {soft 1024, hard 1024})",
    "CAPS(effective CAP_CHOWN ",
    'EXEC("", ["sh", "-c", "true"], [PATH=…, TOKEN=…, HOME=…], AT_FDCWD)',
    '\n  mounts[3] "/dev/shm"\n',
  ])
    assert.ok(text.includes(part), `${part} is missing in:\n${text}`);
  assert.doesNotMatch(text, /hunter2/);
});

test("the text follows the bytes, not the compiler: a changed byte is a changed line", () => {
  const program = init(defaultSpec(["sh"]));
  const bytes = Uint8Array.from(program.bytes);
  const view = new DataView(bytes.buffer);
  const before = disassemble(program);
  const { index } = before.steps.find(({ call }) => call === "setresuid") ?? { index: -1 };
  view.setBigUint64(32 + index * 64 + 16, 1000n, true);
  assert.deepEqual(disassemble({ ...program, bytes }).steps[index]?.arguments, ["1000", "0", "0"]);
  const { steps } = compareSteps(before, disassemble({ ...program, bytes }));
  assert.deepEqual(
    steps.filter(({ side }) => side !== "both").map(({ side, step }) => [side, step.call, step.arguments[0]]),
    [
      ["a", "setresuid", "0"],
      ["b", "setresuid", "1000"],
    ],
  );
});

test("every field of a full spec has a group, and every step a purpose or a field that says it", () => {
  const { steps } = disassemble(init(everything()));
  for (const group of [
    "mounts",
    "devices",
    "hidden paths",
    "user",
    "capabilities",
    "limits",
    "namespaces",
    "exec",
    "cgroup",
  ])
    assert.ok(
      steps.some((step) => step.group === group),
      group,
    );
  const silent = steps.filter(({ purpose, call }) => purpose === "" && call === call.toUpperCase());
  assert.deepEqual(silent, []);
  assert.doesNotMatch(formatProgram(disassemble(init(everything()))), /syscall [0-9]|operation [0-9]/);
});

test("the difference of two programs: only what one of them does, whatever its register", () => {
  const more = defaultSpec(["sh"]);
  more.mounts.splice(3, 0, { destination: "/data", type: "bind", source: "/srv", options: ["rbind", "ro"] });
  const [a, b] = [disassemble(init(defaultSpec(["sh"]))), disassemble(init(more))];
  const difference = compareSteps(a, b);
  assert.equal(difference.onlyA, 0);
  assert.ok(difference.onlyB > 0 && difference.onlyB < 12, String(difference.onlyB));
  const text = formatDifference(difference, "a", "b");
  assert.match(text, /^\+ r[0-9]+ = open_tree\(AT_FDCWD, "\/srv", .*AT_RECURSIVE\)$/m);
  assert.doesNotMatch(text, /^- /m);
  assert.equal(compareSteps(a, a).onlyA + compareSteps(a, a).onlyB, 0);
});

test("what is no launch program is refused", () => {
  assert.throws(() => disassemble({ bytes: new Uint8Array(64), labels: [], architecture: "x86_64" }), RangeError);
  assert.equal(disassemble(new ProgramBuilder("arm64").build()).steps.length, 0);
});
