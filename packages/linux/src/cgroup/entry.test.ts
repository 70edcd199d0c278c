import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { directoryOfInit, entryDirectory } from "./entry.ts";
import type { CgroupPlan } from "./plan.ts";

const plan = (root: string): CgroupPlan => ({
  path: "/pod/web",
  hierarchies: [],
  unified: `${root}/pod/web`,
  unifiedMountPoint: root,
  directories: [],
});

test("init's directory is found inside of the container's own, nowhere else", () => {
  const where = (path: string) => directoryOfInit(plan("/cg"), `4:memory:/elsewhere\n0::${path}\n`);
  assert.equal(where("/pod/web"), "/cg/pod/web");
  assert.equal(where("/pod/web/init.scope"), "/cg/pod/web/init.scope");
  assert.equal(where("/mount/root/pod/web/a/b"), "/cg/pod/web/a/b");
  for (const path of ["/", "/pod/webber", "/pod/web/../other", "/../pod"]) assert.equal(where(path), undefined, path);
  assert.equal(directoryOfInit(plan("/cg"), "4:memory:/pod/web\n"), undefined);
});

test("an exec goes into the container's own cgroup while that has handed on no controller", () => {
  const root = mkdtempSync(`${tmpdir()}/trimaran-entry-`);
  try {
    mkdirSync(`${root}/pod/web`, { recursive: true });
    assert.equal(entryDirectory(plan(root), process.pid), `${root}/pod/web`); // no such file: no v2 controllers here
    writeFileSync(`${root}/pod/web/cgroup.subtree_control`, "\n");
    assert.equal(entryDirectory(plan(root), process.pid), `${root}/pod/web`);
    writeFileSync(`${root}/pod/web/cgroup.subtree_control`, "memory pids\n");
    assert.equal(entryDirectory(plan(root), process.pid), `${root}/pod/web`); // we are not in it: the kernel will say so
    const { unified: _, unifiedMountPoint: __, ...v1 } = plan(root);
    assert.equal(entryDirectory(v1, process.pid), undefined);
  } finally {
    rmSync(root, { recursive: true });
  }
});
