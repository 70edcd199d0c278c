import assert from "node:assert/strict";
import { test } from "node:test";
import { detectCgroups } from "./host.ts";
import { planCgroup } from "./plan.ts";

const HYBRID = `31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/uni\\040fied rw,relatime - cgroup2 cgroup2 rw,nsdelegate
50 31 0:32 / /elsewhere/memory rw,relatime - cgroup cgroup rw,memory
`;
const SELF = "9:name=systemd:/\n4:memory:/own/me\n2:cpu,cpuacct:/\n0::/slice/unit\n";

test("a hybrid host: v1 hierarchies once each, and the unified tree", () => {
  const host = detectCgroups({ mountinfo: HYBRID, selfCgroup: SELF });
  assert.equal(host.mode, "hybrid");
  assert.equal(host.root, "/sys/fs/cgroup");
  assert.deepEqual(
    host.hierarchies.map(({ controllers, ownPath }) => [controllers, ownPath]),
    [
      [["cpu", "cpuacct"], "/"],
      [["memory"], "/own/me"],
      [["name=systemd"], "/"],
    ],
  );
  assert.deepEqual(host.unified, { mountPoint: "/sys/fs/cgroup/uni fied", ownPath: "/slice/unit" });
});

test("v2, v1 and none", () => {
  const mountinfo = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  assert.equal(detectCgroups({ mountinfo, selfCgroup: "0::/a/b\n" }).mode, "v2");
  const v1 = HYBRID.split("\n")
    .filter((line) => !line.includes("cgroup2"))
    .join("\n");
  assert.equal(detectCgroups({ mountinfo: v1, selfCgroup: SELF }).mode, "v1");
  assert.throws(() => detectCgroups({ mountinfo: "", selfCgroup: "" }), /no cgroup file system/);
});

test("a mount that shows a part of the tree makes own paths relative to it", () => {
  const mountinfo = "29 23 0:26 /docker/x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  assert.equal(detectCgroups({ mountinfo, selfCgroup: "0::/docker/x/sub\n" }).unified?.ownPath, "/sub");
  assert.equal(detectCgroups({ mountinfo, selfCgroup: "0::/docker/xy\n" }).unified?.ownPath, "/");
});

test("cgroupsPath: absolute, relative, absent", () => {
  const host = detectCgroups({ mountinfo: HYBRID, selfCgroup: SELF });
  const plan = planCgroup(host, "/default/./x/../web", "id");
  assert.equal(plan.path, "/default/web");
  assert.equal(plan.hierarchies[1]?.directory, "/sys/fs/cgroup/memory/default/web");
  assert.equal(plan.unified, "/sys/fs/cgroup/uni fied/default/web");
  assert.equal(planCgroup(host, "", "id").hierarchies[1]?.directory, "/sys/fs/cgroup/memory/own/me/id");
  const v2 = detectCgroups({
    mountinfo: "29 23 0:26 / /nowhere rw - cgroup2 cgroup2 rw\n",
    selfCgroup: "0::/slice/unit\n",
  });
  assert.deepEqual(planCgroup(v2, "a/b", "id").directories, [
    "/nowhere/slice/a/b",
    "/nowhere/slice/a",
    "/nowhere/slice",
  ]);
});

test("cgroupsPath: what is refused", () => {
  const host = detectCgroups({ mountinfo: HYBRID, selfCgroup: SELF });
  for (const path of ["..", "../x", "/..", "/a/../../b", "/", ".", "a\0b", "a\nb", `/${"x".repeat(256)}`]) {
    assert.throws(() => planCgroup(host, path, "id"), { name: "CgroupError" }, JSON.stringify(path));
  }
  assert.throws(
    () => planCgroup(host, "system.slice:cri:abc", "id"),
    /slice:prefix:name form needs the systemd cgroup driver/,
  );
});
