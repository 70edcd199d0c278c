import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { OURS, Place, Runtime } from "./testing/oci-runtime.ts";

/** No virtual machine has resctrl: a folder takes its place, as mountinfo tells it to our program alone. */
let place: Place;
let root: string;
let runtime: Runtime;
before(() => {
  place = new Place();
  root = join(place.folder, "resctrl");
  const mountinfo = join(place.folder, "mountinfo");
  const line = `9999 1 0:99 / ${root} rw - resctrl resctrl rw\n`;
  writeFileSync(mountinfo, readFileSync("/proc/self/mountinfo", "utf8") + line);
  const script = 'mount --bind "$0" "/proc/$$/mountinfo" && exec "$@"';
  runtime = new Runtime(place, ["unshare", "--mount", "sh", "-c", script, mountinfo, ...OURS], "resctrl");
});
after(() => place[Symbol.dispose]());

function makeGroup(name: string): string {
  const group = join(root, name);
  mkdirSync(join(group, "mon_groups"), { recursive: true });
  writeFileSync(join(group, "schemata"), "L3:0=ff\n");
  writeFileSync(join(group, "tasks"), "");
  return group;
}

function configure(intelRdt: object): void {
  place.configure("while :; do sleep 1; done", (spec) => Object.assign(spec.linux, { intelRdt }));
}

/** What was written to a group's `tasks` since the last look. */
function joined(group: string): string {
  const file = join(group, "tasks");
  const text = readFileSync(file, "utf8");
  writeFileSync(file, "");
  return text;
}

test("init and execs go to the class, whose limits an update changes; it stays when the container goes", () => {
  const group = makeGroup("gold");
  configure({ closID: "gold", l3CacheSchema: "L3:0=00ff" });
  assert.equal(runtime.quiet("run", "--detach", "c1"), 0);
  assert.equal(joined(group), "0");
  assert.deepEqual(runtime.run("exec", "c1", "true"), { code: 0, out: "", error: "" });
  assert.equal(joined(group), "0");
  assert.equal(runtime.run("update", "--l3-cache-schema", "L3:0=3f", "c1").code, 0);
  assert.equal(readFileSync(join(group, "schemata"), "utf8"), "L3:0=3f\n");
  assert.equal(runtime.run("delete", "--force", "c1").code, 0);
  assert.ok(existsSync(join(group, "tasks")));
});

test("an exec goes on where the class has been taken away", () => {
  const group = makeGroup("silver");
  configure({ closID: "silver" });
  assert.equal(runtime.quiet("run", "--detach", "c2"), 0);
  assert.equal(joined(group), "0");
  rmSync(join(group, "tasks"));
  assert.deepEqual(runtime.run("exec", "c2", "true"), { code: 0, out: "", error: "" });
  assert.equal(runtime.run("delete", "--force", "c2").code, 0);
});

test("what fails leaves neither group nor container", () => {
  const group = makeGroup("bronze");
  const refusals: [object, RegExp][] = [
    [{ closID: "none" }, /linux\.intelRdt\.closID "none": there is no .*\/none, and no schema to make it with/],
    [{ closID: "bronze", l3CacheSchema: "L3:0=1" }, /is there with other limits: L3:0=1 is wanted, it has ff/],
    [{ closID: "made", schemata: ["L3:0=1"] }, /linux\.intelRdt\.schemata "L3:0=1": ENOENT from open/],
    [{ closID: "bronze", enableMonitoring: true }, /linux\.intelRdt: .*ENOENT.*\/bronze\/mon_groups\/c3\/tasks/], // the program's
    [{}, /linux\.intelRdt: .*ENOENT.*\/c3\/tasks/],
  ];
  for (const [intelRdt, message] of refusals) {
    configure(intelRdt);
    const { code, error } = runtime.run("run", "c3");
    assert.equal(code, 1);
    assert.match(error, message);
    assert.equal(runtime.status("c3"), "none");
    for (const name of ["made", "c3", "bronze/mon_groups/c3"]) assert.ok(!existsSync(join(root, name)), name);
  }
  assert.ok(existsSync(join(group, "tasks")));
});

test("a create that was killed is deleted with its group", () => {
  configure({});
  const group = join(root, "c4");
  mkdirSync(join(runtime.root, "c4"), { recursive: true });
  const cgroup = { path: "/none", hierarchies: [], directories: [] };
  writeFileSync(join(runtime.root, "c4/begun.json"), JSON.stringify({ cgroup, resctrl: { directories: [group] } }));
  mkdirSync(group);
  assert.equal(runtime.run("delete", "c4").code, 0);
  assert.ok(!existsSync(group));
});

test("where resctrl is not mounted the error says so; a container without a class takes no limits", () => {
  const plain = new Runtime(place, OURS, "plain");
  configure({ closID: "gold" });
  const { code, error } = plain.run("run", "c5");
  assert.equal(code, 1);
  assert.match(error, /linux\.intelRdt: no resctrl file system is mounted/);
  place.configure("while :; do sleep 1; done");
  assert.equal(plain.quiet("run", "--detach", "c6"), 0);
  assert.match(plain.run("update", "--mem-bw-schema", "MB:0=10", "c6").error, /c6 was made without linux\.intelRdt/);
  assert.equal(plain.run("delete", "--force", "c6").code, 0);
});
