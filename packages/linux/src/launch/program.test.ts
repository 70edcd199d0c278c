import assert from "node:assert/strict";
import { test } from "node:test";
import { disassemble } from "../explain/disassemble.ts";
import { formatProgram } from "../explain/text.ts";
import { InvalidSpec } from "../spec/invalid-spec.ts";
import * as json from "../spec/json.ts";
import { parseResources } from "../spec/resources.ts";
import { parseSeccomp, parseSeccompListener } from "../spec/seccomp.ts";
import { parseExecProcess, parseSpec } from "../spec/spec.ts";
import { everything } from "../spec/testing/everything.ts";
import { compileExec } from "./exec.ts";
import { describeFailure } from "./failure.ts";
import type { HostFeatures } from "./host.ts";
import { compileInit } from "./init.ts";
import type { InitPlan } from "./plan.ts";
import { type Program, ProgramBuilder } from "./program.ts";
import { defaultSpec } from "./testing/default-spec.ts";

const HOST: HostFeatures = {
  architecture: "x86_64",
  kernel: [6, 18],
  kcore: true,
  selinux: false,
  inUserNamespace: false,
  namespaceInodes: { network: 1, ipc: 2, uts: 3, user: 4 },
};
const STDIO = { kind: "slots", stdin: 0, stdout: 1, stderr: 2, prelude() {} } as const;

type Config = ReturnType<typeof defaultSpec>;

function explain(program: Program): string {
  return formatProgram(disassemble(program));
}

function compile(change: (config: Config) => unknown = () => {}, plan: Partial<InitPlan> = {}) {
  const config = defaultSpec(["sh"]);
  change(config);
  const spec = parseSpec(JSON.stringify(config));
  return compileInit({
    id: "a",
    spec,
    bundle: "/b",
    rootfs: [],
    stdio: STDIO,
    cgroup: { attachFiles: [], ownDirs: [] },
    host: HOST,
    ...plan,
  });
}

/** The parts stand in the text in this order. */
function order(text: string, ...parts: string[]): void {
  let from = 0;
  for (const part of parts) {
    const at = text.indexOf(part, from);
    assert.ok(at >= 0, `${part} is missing in:\n${text.slice(from)}`);
    from = at + part.length;
  }
}

test("layout: header, steps, data, relocations", () => {
  const b = new ProgramBuilder("x86_64");
  b.field = "field";
  const text = b.data.string("/x");
  assert.equal(b.data.string("/x"), text);
  const fd = b.call("openat", [-100, text, 0x80000], { tolerate: ["ENOENT", "EACCES"] });
  const first = b.next - 1;
  b.sys("close", [fd]);
  b.skipOnError(first);
  const argv = b.data.pointers([text]);
  b.op("EXEC", [text, argv, argv, { kind: "slot", index: 7 }, 1n << 40n]);
  const { bytes, labels } = b.build();
  const view = new DataView(bytes.buffer);
  const u32 = (at: number) => view.getUint32(at, true);
  const u16 = (at: number) => view.getUint16(at, true);
  assert.deepEqual([u32(0), u32(4), u16(8), u16(10)], [0x31504c54, bytes.length, 3, 1]);
  const dataOffset = u32(12);
  assert.deepEqual([dataOffset, u32(16), u32(20)], [32 + 3 * 64, 1, bytes.length - 8]);
  assert.deepEqual([u16(32), u16(34), u16(36), u16(38), u16(40), u16(42), u32(44)], [1, 0, 257, 0x8001, 2, 13, 0x10]);
  assert.equal(view.getBigInt64(48, true), -100n);
  assert.equal(view.getBigUint64(56, true), 0n);
  const exec = 32 + 2 * 64;
  assert.deepEqual([u16(exec), u16(exec + 2), u32(exec + 12)], [12, 0xffff, 0x3111]);
  assert.equal(view.getBigUint64(exec + 40, true), 7n);
  assert.equal(view.getBigUint64(exec + 48, true), 1n << 40n);
  assert.deepEqual([u32(bytes.length - 8), u32(bytes.length - 4)], [argv.offset, text.offset]);
  assert.equal(argv.offset % 8, 0);
  assert.deepEqual(labels[0], { field: "field", action: "openat" });
});

test("registers are reused, and run out", () => {
  const b = new ProgramBuilder("arm64");
  const first = b.register();
  b.release(first);
  assert.equal(b.register(), first);
  assert.throws(() => Array.from({ length: 64 }, () => b.register()), InvalidSpec);
});

test("the same spec gives the same bytes; a default container stays small", () => {
  assert.deepEqual(compile().bytes, compile().bytes);
  const arm64 = compile(() => {}, { host: { ...HOST, architecture: "arm64" } });
  assert.equal(arm64.labels.length, compile().labels.length);
  assert.doesNotMatch(explain(arm64), /syscall [0-9]|operation [0-9]/);
  assert.ok(compile().labels.length < 180, `${compile().labels.length} steps`);
});

test("a foreign pid namespace is entered after the host's mounts have gone, and the cgroup namespace made after the attach", () => {
  const joined = explain(compile(({ linux }) => Object.assign(linux.namespaces[0] ?? {}, { path: "/proc/1/ns/pid" })));
  order(joined, "umount2(", "setns(", "CLONE(", 'fsopen("proc"', "EXEC(");
  const v1 = compile(({ linux }) => linux.namespaces.push({ type: "cgroup" }), {
    cgroup: { attachFiles: ["/cg/tasks"], ownDirs: [] },
  });
  order(explain(v1), '"/cg/tasks"', "unshare(CLONE_NEWCGROUP)", "pivot_root(", "CAPS(effective", "GATE(", "EXEC(");
  const v2 = explain(
    compile(({ linux }) => linux.namespaces.push({ type: "cgroup" }), {
      cgroup: { attachFiles: [], into: "/cg", ownDirs: [] },
    }),
  );
  assert.doesNotMatch(v2, /unshare\(/);
  order(v2, 'openat(AT_FDCWD, "/cg"', "KEEP(", "STORE(", "CLONE(");
});

test("exec: nothing of the host is held when the namespaces are entered", () => {
  const spec = parseSpec(JSON.stringify(defaultSpec(["sh"])));
  assert.ok(spec.process !== undefined);
  const cgroup = { attachFiles: ["/cg/tasks"] };
  const program = compileExec({
    id: "a",
    process: spec.process,
    spec,
    init: { pid: 9 },
    stdio: STDIO,
    cgroup,
    host: HOST,
  });
  order(
    explain(program),
    "pidfd_open(9",
    "KEEP(",
    "CLONE(",
    '"/cg/tasks"',
    "CLOSE(",
    "setns(",
    "close(",
    "CLONE(",
    "EXEC(",
  );
});

test("exec: labels of its own; without, init's", () => {
  const config = defaultSpec(["sh"]);
  Object.assign(config.process, { apparmorProfile: "of-init", selinuxLabel: "label-of-init" });
  const spec = parseSpec(JSON.stringify(config));
  const text = (own: object) => {
    const process = parseExecProcess(JSON.stringify({ args: ["sh"], cwd: "/", ...own }));
    const cgroup = { attachFiles: [] };
    return explain(compileExec({ id: "a", process, spec, init: { pid: 9 }, stdio: STDIO, cgroup, host: HOST }));
  };
  order(text({}), 'process.apparmorProfile "of-init"', 'process.selinuxLabel "label-of-init"');
  const own = text({ apparmorProfile: "own", selinuxLabel: "label-own" });
  order(own, 'process.apparmorProfile "own"', 'process.selinuxLabel "label-own"');
  assert.doesNotMatch(own, /of-init/);
});

test("more binds than registers", () => {
  const program = compile(({ mounts }) => {
    for (let i = 0; i < 200; i++)
      mounts.push({ destination: `/v${i}`, type: "bind", source: `/v${i}`, options: ["rbind"] });
  });
  assert.match(explain(program), /dup3\(r[0-9]+, 506, /);
});

test("more steps than a program has: an error that names the field", () => {
  const many = ({ mounts }: Config) => {
    for (let i = 0; i < 1500; i++) mounts.push({ destination: `/v${i}`, type: "tmpfs", source: "", options: [] });
  };
  assert.throws(() => compile(many), /^InvalidSpec: mounts\[[0-9]+\] "\/v[0-9]+": needs more than 4096 steps$/);
});

test("any value at any place: compiled, or an InvalidSpec", () => {
  const strange = [
    null,
    true,
    -1,
    0,
    1.5,
    2 ** 53,
    "",
    "\0",
    "..",
    "/../..",
    "x".repeat(5000),
    [],
    [null],
    [[]],
    {},
    { a: {} },
    ["a", 1],
  ];
  const config = everything();
  const text = JSON.stringify(config);
  let compiled = 0;
  visit(config, [], (keys) => {
    for (const value of strange) {
      const changed = replaceAt(JSON.parse(text), keys, value);
      try {
        const spec = parseSpec(JSON.stringify(changed));
        compileInit({
          id: "a",
          spec,
          bundle: "/b",
          rootfs: [],
          stdio: STDIO,
          cgroup: { attachFiles: [], ownDirs: [] },
          host: { ...HOST, selinux: true },
        });
        compiled++;
      } catch (error) {
        assert.ok(error instanceof InvalidSpec, `${keys.join(".")} = ${JSON.stringify(value)}: ${error}`);
      }
    }
  });
  assert.ok(compiled > 100);
});

/** Every place in a tree of JSON, the root first. */
function visit(at: unknown, keys: readonly string[], use: (keys: readonly string[], value: unknown) => void): void {
  use(keys, at);
  if (typeof at !== "object" || at === null) return;
  for (const [key, value] of Object.entries(at)) visit(value, [...keys, key], use);
}

test("a wrong value at any place is an error that names the place", () => {
  const config = everything();
  const text = JSON.stringify(config);
  let tried = 0;
  visit(config, [], (keys, old) => {
    if (typeof old === "object") return;
    const path = keys.reduce((path, key) => (/^[0-9]+$/.test(key) ? `${path}[${key}]` : json.pathOf(path, key)), "");
    for (const wrong of [{}, typeof old === "string" ? 7 : "seven"]) {
      const changed = JSON.stringify(replaceAt(JSON.parse(text), keys, wrong));
      const parse = () => {
        const { linux } = parseSpec(changed);
        parseResources(linux.resources);
        parseSeccomp(linux.seccomp);
        parseSeccompListener(linux.seccomp);
      };
      assert.throws(parse, (error) => {
        assert.ok(error instanceof InvalidSpec, String(error));
        const names = path === error.field || path.startsWith(`${error.field}.`) || path.startsWith(`${error.field}[`);
        assert.ok(names, `${path} = ${JSON.stringify(wrong)}: ${error.message}`);
        return true;
      });
      tried++;
    }
  });
  assert.ok(tried > 300, String(tried));
});

/** `root` with the value at `keys` replaced. */
function replaceAt(root: unknown, keys: readonly string[], value: unknown): unknown {
  const [key, ...rest] = keys;
  if (key === undefined || typeof root !== "object" || root === null) return value;
  const entries = Object.entries(root).map(
    ([name, old]) => [name, name === key ? replaceAt(old, rest, value) : old] as const,
  );
  return Array.isArray(root) ? entries.map(([, entry]) => entry) : Object.fromEntries(entries);
}

test("a failed step becomes a sentence", () => {
  const program = compile(({ mounts }) =>
    mounts.push({ destination: "/data", type: "bind", source: "/none", options: ["rbind"] }),
  );
  const step = program.labels.findIndex(({ field, action }) => field.startsWith("mounts[7]") && action === "open_tree");
  assert.equal(describeFailure(program, step, 2), 'mounts[7] "/data": source does not exist (ENOENT from open_tree)');
  assert.equal(describeFailure(program, step, 40), 'mounts[7] "/data": ELOOP from open_tree');
  assert.equal(describeFailure(program, 0xffff_ffff, 22), "launch program refused (EINVAL)");
});

test("what cannot be compiled", () => {
  const reject = (mount: Config["mounts"][number], message: RegExp) =>
    assert.throws(() => compile(({ mounts }) => mounts.push(mount)), message);
  const mount = (destination: string, type: string, ...options: string[]) => ({
    destination,
    type,
    source: "/s",
    options,
  });
  reject(mount("/proc/sys", "tmpfs"), /mounts\[7\] "\/proc\/sys": nothing may be mounted there/);
  reject(mount("/x", "bind", "size=1"), /mounts\[7\] "\/x" "size": a bind takes no option/);
  reject(mount("/x", "cgroup"), /mounts\[7\] "\/x": the container has no cgroup to show/);
  reject(mount("/x", "tmpfs", `size=${"1".repeat(300)}`), /size is longer than 255 bytes/);
  const label = (config: Config) => Object.assign(config.linux, { mountLabel: "a:b:c" });
  assert.throws(() => compile(label), /^InvalidSpec: linux\.mountLabel "a:b:c": the kernel has no SELinux$/);
  const labelled = explain(compile(label, { host: { ...HOST, selinux: true } }));
  assert.equal([...labelled.matchAll(/fsconfig\(r[0-9]+, FSCONFIG_SET_STRING, "context", "a:b:c"\)/g)].length, 4); // three tmpfs and devpts
  const two = ["/a", "/b"].map((source) => ({ type: "bind", source, target: "", options: [] }));
  assert.throws(() => compile(() => {}, { rootfs: two }), /rootfs\[1\] "bind": a second mount at the root/);
});
