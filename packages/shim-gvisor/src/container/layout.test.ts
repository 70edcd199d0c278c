import assert from "node:assert/strict";
import { test } from "node:test";
import type { CgroupPlan } from "@trimaran/linux";
import { parseConfig } from "../config/config.ts";
import { type Layout, stateFiles, undoSteps } from "./layout.ts";
import type { Membership } from "./membership.ts";

const OVERLAY = { type: "overlay", source: "overlay", target: "", options: ["lowerdir=/l", "upperdir=/u"] };
const V1: CgroupPlan = {
  path: "/ns/web",
  hierarchies: [
    { controllers: ["memory"], mountPoint: "/sys/fs/cgroup/memory", directory: "/sys/fs/cgroup/memory/ns/web" },
  ],
  directories: ["/sys/fs/cgroup/memory/ns/web"],
};
const V2: CgroupPlan = {
  path: "/ns/web",
  hierarchies: [],
  unified: "/sys/fs/cgroup/ns/web",
  directories: ["/sys/fs/cgroup/ns/web"],
};

function layout(membership: Membership, runscId: string, cgroupPlan = V2): Layout {
  const request = { id: "web", rootfs: [OVERLAY] } as unknown as Layout["request"];
  const spec = {} as Layout["spec"];
  return { request, spec, config: parseConfig([], []), membership, cgroupPlan, runscId, root: "/r", work: "/b/runsc" };
}

test("the files of a sandbox are named after it, a member's after both", () => {
  assert.deepEqual(stateFiles(layout({ kind: "alone" }, "web+")), [
    "/r/web+_sandbox:web+.state",
    "/r/web+_sandbox:web+.lock",
    "/r/runsc-web+.sock",
    "/u/.gvisor.filestore.web+",
  ]);
  assert.deepEqual(stateFiles(layout({ kind: "member", sandboxId: "pod" }, "web+")).slice(0, 2), [
    "/r/web+_sandbox:pod.state",
    "/r/web+_sandbox:pod.lock",
  ]);
});

test("delete without a task server kills by the cgroup, of v1 and of v2, then removes it and the files", () => {
  for (const plan of [V1, V2]) {
    const [kill, remove, ...rest] = undoSteps(layout({ kind: "alone" }, "web+", plan));
    const [directory] = plan.directories;
    assert.deepEqual(kill, { verb: "kill-cgroup", path: directory });
    assert.deepEqual(remove, { verb: "rmdir", path: directory });
    assert.equal(rest.pop()?.verb, "leave"); // another shim of the namespace may have its containers there
    assert.ok(rest.every(({ verb }) => verb === "unlink"));
  }
});
