import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseIntelRdt } from "../spec/intel-rdt.ts";
import { InvalidSpec } from "../spec/invalid-spec.ts";
import { makeResctrl, planResctrl, removeResctrl, resctrlTasks, updateResctrl } from "./group.ts";
import { findResctrl } from "./mount.ts";
import { findMismatch, parseSchemata } from "./schemata.ts";

/** A folder in the place of a mounted resctrl, as no virtual machine has one; its mkdir(2) makes a group's files. */
class Tree implements Disposable {
  readonly root = mkdtempSync(join(tmpdir(), "resctrl-"));
  readonly groups = new Set<string>();

  constructor() {
    this.write("info/MB/bandwidth_gran", "10\n");
    mkdirSync(join(this.root, "mon_groups"));
  }

  readonly makeDirectory = (path: string): void => {
    mkdirSync(path);
    this.groups.add(path);
    if (path.includes("/mon_groups/")) return;
    mkdirSync(join(path, "mon_groups"));
    writeFileSync(join(path, "tasks"), "");
    writeFileSync(join(path, "schemata"), "");
  };

  write(file: string, text: string): void {
    const path = join(this.root, file);
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, text);
  }

  read(file: string): string {
    return readFileSync(join(this.root, file), "utf8");
  }

  make(intelRdt: object, id = "c1") {
    const plan = planResctrl(parseIntelRdt({ intelRdt }, "linux"), id, () => this.root);
    assert.ok(plan);
    makeResctrl(plan, this.makeDirectory);
    return plan;
  }

  [Symbol.dispose](): void {
    rmSync(this.root, { recursive: true });
  }
}

function failure(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    assert.ok(error instanceof InvalidSpec, String(error));
    return error.message;
  }
  return "none";
}

test("a group of the container's own: limits in one write, schemata last, the group is its own; again is harmless", () => {
  using tree = new Tree();
  const rdt = { l3CacheSchema: "L3:0=f\nMB:0=70", memBwSchema: "MB:0=20" };
  const plan = tree.make(rdt);
  assert.equal(tree.read("c1/schemata"), "L3:0=f\nMB:0=20\n");
  assert.deepEqual(plan.tasks, [join(tree.root, "c1/tasks")]);
  assert.deepEqual(plan.directories, [join(tree.root, "c1")]);
  tree.write("c1/schemata", "");
  tree.make({ ...rdt, schemata: ["L3:1=3", "L2:0=1\nL2:1=1"] });
  assert.equal(tree.read("c1/schemata"), "L3:1=3\nL2:0=1\nL2:1=1\n");
  updateResctrl(plan, ["L3:0=7", "MB:0=10"]);
  assert.match(tree.read("c1/schemata"), /^L3:0=7\nMB:0=10\n/);
});

test("a named class is made with its limits, and stays; who comes later must want the same", () => {
  using tree = new Tree();
  const gold = { closID: "gold", l3CacheSchema: "L3:0=f;1=0f", memBwSchema: "MB:0=23" };
  assert.deepEqual(tree.make(gold).directories, []);
  assert.equal(tree.read("gold/schemata"), "L3:0=f;1=0f\nMB:0=23\n");
  tree.write("gold/schemata", "    MB:0= 30;1=100\n    L3:0=0000f;1=f\n"); // as the kernel shows it, rounded
  tree.make(gold, "c2");
  const path = join(tree.root, "gold");
  assert.equal(
    failure(() => tree.make({ ...gold, l3CacheSchema: "L3:0=7" })),
    `linux.intelRdt.closID "gold": ${path} is there with other limits: L3:0=7 is wanted, it has 0000f`,
  );
  assert.match(
    failure(() => tree.make({ ...gold, memBwSchema: "MB:2=10" })),
    /: MB:2=10 is wanted, there is none$/,
  );
  assert.ok(existsSync(path));
});

test("a named class without limits must be there; the root group always is", () => {
  using tree = new Tree();
  assert.equal(
    failure(() => tree.make({ closID: "gold" })),
    `linux.intelRdt.closID "gold": there is no ${join(tree.root, "gold")}, and no schema to make it with`,
  );
  assert.equal(tree.groups.size, 0);
  tree.write("tasks", "");
  const { tasks, directories } = tree.make({ closID: "/", enableMonitoring: true });
  assert.deepEqual(tasks, [join(tree.root, "tasks"), join(tree.root, "mon_groups/c1/tasks")]);
  assert.deepEqual(directories, [join(tree.root, "mon_groups/c1")]);
  removeResctrl(directories);
  removeResctrl(directories);
  assert.ok(!existsSync(join(tree.root, "mon_groups/c1")));
});

test("the monitoring group goes before the class; processes go to the class first", () => {
  using tree = new Tree();
  const { tasks, directories } = tree.make({ enableMonitoring: true });
  assert.deepEqual(
    tasks.map((path) => path.slice(tree.root.length)),
    ["/c1/tasks", "/c1/mon_groups/c1/tasks"],
  );
  assert.deepEqual(
    directories.map((path) => path.slice(tree.root.length)),
    ["/c1/mon_groups/c1", "/c1"],
  );
});

test("what fails leaves no group, and says why in the kernel's words", () => {
  using tree = new Tree();
  const plan = planResctrl(
    parseIntelRdt({ intelRdt: { closID: "a", schemata: ["L3:0=0"] } }, "linux"),
    "c",
    () => tree.root,
  );
  assert.ok(plan);
  tree.write("info/last_cmd_status", "Mask out of range\n");
  const refused = (path: string) => mkdirSync(path); // no file to write to: the write fails
  assert.match(
    failure(() => makeResctrl(plan, refused)),
    /^linux\.intelRdt\.schemata "L3:0=0": ENOENT from open ".*\/a\/schemata": Mask out of range$/,
  );
  assert.ok(!existsSync(plan.group));
  const full = () => {
    throw Object.assign(new Error("mkdir"), { errno: -28, code: "ENOSPC", syscall: "mkdir" });
  };
  assert.match(
    failure(() => makeResctrl(plan, full)),
    /^linux\.intelRdt: the processor has no class of service, or monitor, left for .*\/a \(ENOSPC\)$/,
  );
  const monitored = planResctrl(parseIntelRdt({ intelRdt: { enableMonitoring: true } }, "linux"), "c", () => tree.root);
  assert.ok(monitored);
  assert.match(
    failure(() => makeResctrl(monitored, refused)),
    /^linux\.intelRdt\.enableMonitoring: there is no .*\/c\/mon_groups: this machine has no RDT monitoring$/,
  );
  assert.ok(!existsSync(monitored.group));
});

test("where resctrl is not mounted, it is an error only if it is asked for", () => {
  const wanted = parseIntelRdt({ intelRdt: {} }, "linux");
  assert.equal(
    planResctrl(wanted, "c", () => undefined),
    undefined,
  );
  assert.equal(
    failure(() => resctrlTasks(wanted, undefined)),
    "linux.intelRdt: no resctrl file system is mounted",
  );
  assert.deepEqual(resctrlTasks(undefined, undefined), []);
});

test("the mount is found by its type", () => {
  const other = "30 1 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n";
  assert.equal(findResctrl(other), undefined);
  const line = "31 1 0:27 / /sys/fs/re\\040sctrl rw,relatime shared:5 - resctrl resctrl rw\n";
  assert.equal(findResctrl(other + line), "/sys/fs/re sctrl");
});

test("limits are compared as numbers, by resource and domain", () => {
  const present = parseSchemata(["L3:0=00ff;1=fff", "    MB:0=100;1= 50", "# no such thing", ""]);
  const differs = (lines: string[], step = 10) => findMismatch(parseSchemata(lines), present, step);
  assert.equal(differs(["L3:0=ff;1=0xFFF", "MB:1=41"]), undefined);
  assert.equal(differs(["MB:1=51"]), "MB:1=51 is wanted, it has 50");
  assert.equal(differs(["MB:1=50"], 1), undefined);
  assert.equal(differs(["L3:1=ff"]), "L3:1=ff is wanted, it has fff");
  assert.equal(differs(["L2:0=1"]), "L2:0=1 is wanted, there is none");
});
