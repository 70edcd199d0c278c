import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { lazyNative } from "../syscall/native.ts";
import { compileDeviceProgram } from "./device-program.ts";
import { ALWAYS_ALLOWED, isDeviceAllowed, reduceDeviceRules } from "./device-set.ts";
import { applyDevicesV1 } from "./devices-v1.ts";
import { DevicePrograms } from "./devices-v2.ts";
import { CgroupError } from "./error.ts";
import { detectCgroups, findHierarchy } from "./host.ts";
import type { DeviceRule } from "./resources.ts";

test("the default list is about 64 instructions", () => {
  const code = compileDeviceProgram(reduceDeviceRules([{ allow: false, access: "rwm" }, ...ALWAYS_ALLOWED]));
  assert.equal(code.length / 8 < 80, true, String(code.length / 8));
});

/** A deterministic stream of numbers below `limit`: a failure can be replayed. */
function randomNumbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

const MAJORS = [60, 61, 255]; // for local use: no driver answers
const TYPES = ["b", "c"] as const;
const PROBES = TYPES.flatMap((type) =>
  MAJORS.flatMap((major) => [0, 1].flatMap((minor) => [1, 2, 4, 6].map((access) => ({ type, major, minor, access })))),
);

function randomRules(random: (limit: number) => number): DeviceRule[] {
  const rules: DeviceRule[] = [{ allow: random(2) === 0, access: "rwm" }];
  for (let count = random(6); count > 0; count--) {
    const access = ["r", "w", "m", "rw", "rm", "wm", "rwm"][random(7)] ?? "r";
    const major = [...MAJORS, -1][random(4)] ?? -1;
    rules.push({ allow: random(2) === 0, type: TYPES[random(2)] ?? "c", major, minor: random(3) - 1, access });
  }
  return rules;
}

/** A probe process in the given cgroup files. */
function openProbe(folder: string, attach: readonly string[]) {
  const script = new URL("./testing/device-probe.ts", import.meta.url).pathname;
  const child = spawn(process.execPath, [script, folder, ...attach], { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async verdicts(): Promise<string> {
      child.stdin.write(
        `${PROBES.map(({ type, major, minor, access }) => `${type}:${major}:${minor}:${access}`).join(" ")}\n`,
      );
      const line = await lines.next();
      return String(line.value);
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await new Promise((done) => child.once("close", done));
    },
  };
}

test("the program's and v1's verdicts are those of the model, for random rules, changed while running", async () => {
  const host = detectCgroups();
  const v1 = findHierarchy(host, "devices");
  assert.ok(host.unified !== undefined, "device programs are attached to cgroup v2: this machine has none mounted");
  const name = `trimaran-test-${process.pid}-devices`;
  const native = lazyNative();
  await using undo = new AsyncDisposableStack();
  const directory = (mountPoint: string) => {
    const path = `${mountPoint}/${name}`;
    mkdirSync(path);
    undo.defer(() => rmdirSync(path));
    return path;
  };
  const folder = mkdtempSync(`${tmpdir()}/trimaran-devices-`);
  undo.defer(() => rmSync(folder, { recursive: true }));
  for (const { type, major, minor } of PROBES.filter(({ access }) => access === 1)) {
    const mode = type === "b" ? 0o060600 : 0o020600;
    native.check("mknodat", [-100, Buffer.from(`${folder}/${type}-${major}-${minor}\0`), mode, (major << 8) | minor]);
  }
  const programs = undo.use(new DevicePrograms(native));
  const unifiedPath = directory(host.unified.mountPoint);
  const v1Path = v1 && directory(v1.mountPoint);
  const probe2 = undo.use(openProbe(folder, [`${unifiedPath}/cgroup.procs`]));
  const probe1 = v1Path === undefined ? undefined : undo.use(openProbe(folder, [`${v1Path}/tasks`]));
  await probe1?.verdicts();
  await probe2.verdicts(); // both are in their cgroups now
  const random = randomNumbers(42);
  for (let round = 0, applied = 0; applied < 60; round++) {
    const rules = randomRules(random);
    let set: ReturnType<typeof reduceDeviceRules>;
    try {
      set = reduceDeviceRules(rules);
    } catch (error) {
      assert.ok(error instanceof CgroupError); // a hole in a wildcard
      continue;
    }
    applied++;
    const expected = PROBES.map(({ type, major, minor, access }) =>
      isDeviceAllowed(set, type, major, minor, access) ? "1" : "0",
    ).join("");
    programs.apply(unifiedPath, set, false);
    assert.equal(await probe2.verdicts(), expected, `v2, round ${round}: ${JSON.stringify(rules)}`);
    if (v1Path === undefined || probe1 === undefined) continue;
    applyDevicesV1(v1Path, set, false);
    assert.equal(await probe1.verdicts(), expected, `v1, round ${round}: ${JSON.stringify(rules)}`);
  }
});

test("equal rule sets are loaded once", () => {
  const host = detectCgroups();
  if (host.unified === undefined) return;
  const path = `${host.unified.mountPoint}/trimaran-test-${process.pid}-once`;
  mkdirSync(path);
  try {
    using programs = new DevicePrograms(lazyNative());
    const set = reduceDeviceRules(ALWAYS_ALLOWED);
    programs.apply(path, set, true);
    programs.apply(path, reduceDeviceRules([...ALWAYS_ALLOWED].reverse()), false);
    assert.equal(programs.size, 1);
  } finally {
    rmdirSync(path);
  }
});
