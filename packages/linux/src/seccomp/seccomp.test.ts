// biome-ignore-all format: tables
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import fc from "fast-check";
import { lazyNative } from "../syscall/native.ts";
import { SYSCALL } from "../syscall/numbers.ts";
import { parseCacheFile } from "./cache.ts";
import { SeccompCompiler } from "./compiler.ts";
import { AUDIT_ARCH, alwaysPasses, evaluateFilter } from "./filter.ts";
import { SECCOMP_RETURN as RETURN, type SeccompProfile, type SeccompRule } from "./profile.ts";
import { containerdProfile } from "./testing/containerd-profile.ts";

const native = lazyNative();
const compiler = new SeccompCompiler(native);
const NR: Readonly<Record<string, number>> = SYSCALL.x86_64;
const compile = (profile: SeccompProfile) => {
  const compiled = compiler.compile(profile);
  assert.ok(compiled);
  return compiled;
};
const verdict = (program: Uint8Array, name: string | number, args: readonly bigint[] = [], arch: number = AUDIT_ARCH.x86_64) =>
  evaluateFilter(program, { arch, nr: typeof name === "number" ? name : (NR[name] ?? -1), args });
const allow = (...names: string[]): SeccompRule => ({ names, action: "SCMP_ACT_ALLOW" });
const ERRNO = "SCMP_ACT_ERRNO";

test("actions and their data", () => {
  const rules: [string, number | undefined, number][] = [
    ["SCMP_ACT_ERRNO", 13, RETURN.errno + 13], ["SCMP_ACT_ERRNO", undefined, RETURN.errno + 1], ["SCMP_ACT_TRACE", 7, RETURN.trace + 7],
    ["SCMP_ACT_TRAP", undefined, RETURN.trap], ["SCMP_ACT_KILL", undefined, 0], ["SCMP_ACT_KILL_THREAD", undefined, 0],
    ["SCMP_ACT_KILL_PROCESS", undefined, RETURN.killProcess], ["SCMP_ACT_LOG", undefined, RETURN.log], ["SCMP_ACT_NOTIFY", undefined, RETURN.notify],
  ];
  for (const [action, errnoRet, expected] of rules) {
    const { program } = compile({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["mkdirat"], action, errnoRet }] });
    assert.equal(verdict(program, "mkdirat"), expected, action);
    assert.equal(verdict(program, "read"), RETURN.allow);
  }
});

test("the default's data", () => {
  for (const [defaultAction, defaultErrnoRet, expected] of [
    [ERRNO, 39, RETURN.errno + 39], [ERRNO, undefined, RETURN.errno + 1], ["SCMP_ACT_TRACE", 3, RETURN.trace + 3],
  ] as const) {
    const { program } = compile({ defaultAction, defaultErrnoRet, syscalls: [allow("read", "statx")] }); // statx: newer calls than the newest named get ENOSYS
    assert.deepEqual([verdict(program, "mkdirat"), verdict(program, "read")], [expected, RETURN.allow]);
  }
  assert.throws(() => compiler.compile({ defaultAction: "SCMP_ACT_ALLOW", defaultErrnoRet: 1, syscalls: [] }), /defaultAction: SCMP_ACT_ALLOW takes no errnoRet/);
});

test("what is refused names the field", () => {
  const bad = (profile: SeccompProfile) => () => compiler.compile(profile);
  assert.throws(bad({ defaultAction: "NOPE" }), /^SeccompError: linux\.seccomp\.defaultAction: unknown action "NOPE"/);
  assert.throws(bad({ syscalls: [allow("read")] }), /defaultAction/);
  assert.throws(bad({ defaultAction: ERRNO, syscalls: [{ ...allow("read"), errnoRet: 1 }] }), /syscalls\[0\]\.action: SCMP_ACT_ALLOW takes no errnoRet/);
  assert.throws(bad({ defaultAction: ERRNO, architectures: ["SCMP_ARCH_Z80"] }), /architectures\[0\]: unknown architecture/);
  assert.throws(bad({ defaultAction: ERRNO, flags: ["X"] }), /flags\[0\]: unknown flag/);
  const args = (arg: object) => bad({ defaultAction: ERRNO, syscalls: [{ ...allow("read"), args: [{ index: 0, value: 1, op: "SCMP_CMP_EQ", ...arg }] }] });
  assert.throws(args({ op: "EQ" }), /args\[0\]\.op: unknown operator/);
  assert.throws(args({ index: 6 }), /args\[0\]\.index: 6 is not 0 to 5/);
  assert.throws(args({ value: -1 }), /args\[0\]\.value: -1/);
  assert.throws(bad({ defaultAction: "SCMP_ACT_NOTIFY" }), /deadlock/);
  assert.throws(bad({ defaultAction: ERRNO, syscalls: [{ names: ["write"], action: "SCMP_ACT_NOTIFY" }] }), /deadlock/);
});

test("empty profile, unknown names, rules equal to the default", () => {
  assert.equal(compiler.compile({}), undefined);
  const { program } = compile({ defaultAction: ERRNO, syscalls: [allow("read", "no_such_call"), { names: ["write"], action: ERRNO, errnoRet: 1 }] });
  assert.equal(verdict(program, "read"), RETURN.allow);
  assert.equal(verdict(program, "write"), RETURN.errno + 1);
});

test("flags", () => {
  const flags = (list: string[] | undefined, action = ERRNO) =>
    compile({ defaultAction: "SCMP_ACT_ALLOW", flags: list, syscalls: [{ names: ["mkdirat"], action }] });
  assert.equal(flags(undefined).flags, 4);
  assert.equal(flags([]).flags, 0);
  assert.equal(flags(["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"]).flags, 3);
  assert.equal(flags(["SECCOMP_FILTER_FLAG_TSYNC"], "SCMP_ACT_NOTIFY").flags, 1 | 8 | 16);
  assert.equal(flags([], "SCMP_ACT_NOTIFY").notify, true);
});

test("architectures: native alone kills the others; x86 and x32 by their own numbers", () => {
  const alone = compile({ defaultAction: ERRNO, syscalls: [allow("read")] }).program;
  assert.equal(verdict(alone, 3, [], AUDIT_ARCH.x86), RETURN.killThread);
  assert.equal(verdict(alone, 0x4000_0000), RETURN.killThread);
  const all = compile({ defaultAction: ERRNO, architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], syscalls: [allow("read")] }).program;
  assert.equal(verdict(all, 3, [], AUDIT_ARCH.x86), RETURN.allow);
  assert.equal(verdict(all, 0x4000_0000), RETURN.allow);
  assert.equal(verdict(all, 0, [], AUDIT_ARCH.arm64), RETURN.killThread);
});

test("newer calls than the newest named get ENOSYS, older ones the default", () => {
  const { program } = compile({ defaultAction: ERRNO, architectures: ["SCMP_ARCH_X86"], syscalls: [allow("read", "openat2")] });
  assert.equal(verdict(program, 438), RETURN.errno + 38);
  assert.equal(verdict(program, 436), RETURN.errno + 1);
  assert.equal(verdict(program, 438, [], AUDIT_ARCH.x86), RETURN.errno + 38);
  assert.equal(verdict(program, "openat2"), RETURN.allow);
  const open = compile({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["read"], action: ERRNO }] }).program;
  assert.equal(verdict(open, 9999), RETURN.allow);
});

const U64 = 1n << 64n;
const COMPARE: Readonly<Record<string, (a: bigint, one: bigint, two: bigint) => boolean>> = {
  SCMP_CMP_NE: (a, b) => a !== b, SCMP_CMP_LT: (a, b) => a < b, SCMP_CMP_LE: (a, b) => a <= b, SCMP_CMP_EQ: (a, b) => a === b,
  SCMP_CMP_GE: (a, b) => a >= b, SCMP_CMP_GT: (a, b) => a > b, SCMP_CMP_MASKED_EQ: (a, mask, datum) => (a & mask) === datum,
};

test("verdicts are those of the rules, for random rules and arguments", () => {
  const value = fc.oneof(fc.bigInt(0n, 9n), fc.bigInt(0n, U64 - 1n), fc.constantFrom(U64 - 1n, 1n << 32n, (1n << 32n) - 1n));
  const name = fc.constantFrom("read", "mkdirat", "clone", "openat2");
  // libseccomp resolves overlapping rules of different actions in an order of its own: one rule a call here
  const condition = fc.record({ index: fc.nat(5), value, valueTwo: value, op: fc.constantFrom(...Object.keys(COMPARE)) }).map((one) =>
    one.op === "SCMP_CMP_MASKED_EQ" ? { ...one, valueTwo: one.valueTwo & one.value } : one,
  );
  const rule = fc.record({ names: fc.tuple(name), action: fc.constantFrom("SCMP_ACT_ALLOW", "SCMP_ACT_LOG"), args: fc.array(condition, { maxLength: 3 }) });
  // two ordered comparisons on one argument are the known defect below
  const isOrdered = (op: string) => /_(?:LT|LE|GE|GT)$/.test(op);
  const isSound = ({ args }: { args: readonly { index: number; op: string }[] }) =>
    args.every((one, at) => !isOrdered(one.op) || !args.some((other, i) => i !== at && other.index === one.index));
  const property = fc.property(fc.uniqueArray(rule.filter(isSound), { selector: ({ names }) => names[0], maxLength: 4 }), fc.array(value, { minLength: 6, maxLength: 6 }), name, (syscalls, args, call) => {
    const { program } = compile({ defaultAction: ERRNO, syscalls: [...syscalls, allow("statx", "fchmodat2")] });
    const found = syscalls.find(({ names }) => names[0] === call);
    const results = (found?.args ?? []).map(({ index, op, value: one, valueTwo }) => COMPARE[op]?.(args[index] ?? 0n, one, valueTwo) === true);
    const duplicates = new Set(found?.args.map(({ index }) => index)).size < results.length;
    const holds = found !== undefined && (duplicates ? results.some(Boolean) : results.every(Boolean));
    const expected = holds ? (found.action === "SCMP_ACT_LOG" ? RETURN.log : RETURN.allow) : RETURN.errno + 1;
    assert.equal(verdict(program, call, args), expected);
  });
  fc.assert(property, { numRuns: 1000 });
});

// Not what should be, but what is: runc and crun compile the same rules by the same library. If this fails, libseccomp has
// been repaired: delete it, and `isSound` above.
test("known defect of libseccomp 2.5.4: alternatives LT and GE on one argument let others through", () => {
  const args = [{ index: 0, op: "SCMP_CMP_LT", value: 1 }, { index: 0, op: "SCMP_CMP_GE", value: 21474836485n }];
  const { program } = compile({ defaultAction: ERRNO, syscalls: [{ ...allow("clone"), args }] });
  assert.equal(verdict(program, "clone", [5n]), RETURN.allow); // 5 is neither below 1 nor that large
});

test("alwaysPasses looks at every argument", () => {
  const { program } = compile({
    defaultAction: ERRNO,
    syscalls: [allow("read"), { ...allow("write"), args: [{ index: 0, value: 1, op: "SCMP_CMP_EQ" }] }, { names: ["execve"], action: "SCMP_ACT_LOG" }],
  });
  const passes = (name: string) => alwaysPasses(program, AUDIT_ARCH.x86_64, NR[name] ?? -1);
  assert.deepEqual(["read", "write", "execve", "close_range"].map(passes), [true, false, true, false]);
});

test("containerd's profile: what a launch needs passes, what it denies is denied", () => {
  const { program } = compile(containerdProfile);
  for (const name of ["read", "write", "close_range", "execve", "exit_group"]) assert.ok(alwaysPasses(program, AUDIT_ARCH.x86_64, NR[name] ?? -1), name);
  assert.equal(verdict(program, "mount"), RETURN.errno + 1);
  assert.equal(verdict(program, "personality", [8n]), RETURN.allow);
  assert.equal(verdict(program, "personality", [9n]), RETURN.errno + 1);
  assert.equal(verdict(program, "clone", [0x7c02_0000n]), RETURN.errno + 1);
  assert.equal(verdict(program, "clone", [17n]), RETURN.allow);
});

test("the disk cache: written once, taken by the next process, never trusted when damaged", () => {
  const cacheDir = mkdtempSync(`${tmpdir()}/trimaran-seccomp-`);
  try {
    const first = new SeccompCompiler(native, { cacheDir }).compile(containerdProfile);
    const [file = ""] = readdirSync(cacheDir);
    const path = `${cacheDir}/${file}`;
    assert.equal(statSync(path).mode & 0o777, 0o600);
    const noLibrary = { ...native, library: () => assert.fail("compiled again") };
    assert.deepEqual(new SeccompCompiler(noLibrary, { cacheDir }).compile(containerdProfile), first);
    const bytes = readFileSync(path);
    for (const damaged of [bytes.subarray(0, -8), bytes.subarray(0, 10), Buffer.concat([bytes, Buffer.alloc(8)]), Buffer.alloc(0), bytes.fill(1, 60, 61)]) {
      assert.equal(parseCacheFile(damaged), undefined);
    }
    writeFileSync(path, bytes);
    assert.deepEqual(new SeccompCompiler(native, { cacheDir }).compile(containerdProfile), first);
  } finally {
    rmSync(cacheDir, { recursive: true });
  }
});

test("the kernel takes the filter and does what it says", () => {
  const child = spawnSync(process.execPath, [new URL("./testing/load-filter.ts", import.meta.url).pathname], { encoding: "utf8" });
  assert.equal(child.stdout, "mkdirat -1\npersonality 0 -1\nnewer -38\n", child.stderr);
});
