import assert from "node:assert/strict";
import { test } from "node:test";
import { detectCgroups } from "../cgroup/host.ts";
import { planScope } from "../cgroup/scope-plan.ts";
import { expandSlice, parseScopeName } from "./unit-name.ts";

test("slice:prefix:name, with what runc and crun take for granted", () => {
  const parse = (path: string | undefined) => {
    const { slice, unit } = parseScopeName(path, "web");
    return `${slice} ${unit}`;
  };
  assert.equal(
    parse("kubepods-besteffort.slice:cri-containerd:abc"),
    "kubepods-besteffort.slice cri-containerd-abc.scope",
  );
  assert.equal(parse("machine.slice:libpod:abc"), "machine.slice libpod-abc.scope");
  assert.equal(parse(":docker:abc"), "system.slice docker-abc.scope");
  assert.equal(parse("-.slice::abc"), "-.slice abc.scope");
  assert.equal(parse(undefined), "system.slice trimaran-web.scope");
  assert.equal(parse(""), "system.slice trimaran-web.scope");
});

test("what is no unit's name, or no such path, is refused", () => {
  const long = "x".repeat(255);
  for (const path of [
    ...[
      "/default/web",
      "web",
      "a.slice:b",
      "a.slice:b:c:d",
      "a.slice:b:",
      "../a.slice:b:c",
      "a.slice:b:../c",
      "a.slice:b c:d",
    ],
    ...[
      "a.service:b:c",
      "a--b.slice:c:d",
      "-a.slice:c:d",
      "a-.slice:c:d",
      ".slice:b:c",
      "a.slice:b:pod.slice",
      `a.slice:b:${long}`,
    ],
    ...["a.slice:b:c\n", "a.slice:b:c%n", "a@.slice:b:c", "a.slice:b:c\0"],
  ])
    assert.throws(() => parseScopeName(path, "id"), { name: "CgroupError" }, JSON.stringify(path));
});

test("a slice's place says which slices it is in", () => {
  assert.equal(expandSlice("-.slice"), "");
  assert.equal(expandSlice("a.slice"), "/a.slice");
  assert.equal(expandSlice("a-b-c.slice"), "/a.slice/a-b.slice/a-b-c.slice");
});

const V2 = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
const HYBRID = `32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
`;

test("the plan: below systemd's own root, whatever ours is; slices are not ours to remove", () => {
  const host = detectCgroups({ mountinfo: V2, selfCgroup: "0::/system.slice/containerd.service\n" });
  const at = (initCgroup: string) =>
    planScope(host, "a-b.slice:trm:x", "x", detectCgroups({ mountinfo: V2, selfCgroup: initCgroup }));
  const plan = at("0::/init.scope\n");
  assert.equal(plan.path, "/a.slice/a-b.slice/trm-x.scope");
  assert.equal(plan.unified, "/sys/fs/cgroup/a.slice/a-b.slice/trm-x.scope");
  assert.deepEqual(plan.directories, [plan.unified]);
  assert.deepEqual(plan.scope, { unit: "trm-x.scope", slice: "a-b.slice" });
  assert.equal(at("0::/docker/n1/init.scope\n").path, "/docker/n1/a.slice/a-b.slice/trm-x.scope");
  assert.equal(at("0::/\n").path, "/a.slice/a-b.slice/trm-x.scope");
});

test("the plan on a hybrid host: systemd's own hierarchy says where its root is", () => {
  const self = "3:cpu:/elsewhere\n1:name=systemd:/init.scope\n0::/init.scope\n";
  const host = detectCgroups({ mountinfo: HYBRID, selfCgroup: self });
  const { hierarchies, unified, directories } = planScope(host, "system.slice:trm:x", "x", host);
  assert.deepEqual(
    [...hierarchies.map(({ directory }) => directory), unified],
    ["cpu", "systemd", "unified"].map((name) => `/sys/fs/cgroup/${name}/system.slice/trm-x.scope`),
  );
  assert.equal(directories.length, 3);
});
