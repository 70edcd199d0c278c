import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { viewProcess } from "./process-view.ts";

test("a namespace is the host's, one's own, or shared with whoever has the same inode", async () => {
  const child = spawn("unshare", ["-u", "sh", "-c", "sleep 60 & echo $!; wait"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [first] = await once(child.stdout, "data");
  const inner = Number(String(first));
  const outer = child.pid ?? 0;
  try {
    const relation = (others: readonly { readonly name: string; readonly pid: number }[], kind: string) => {
      const found = viewProcess(outer, others).namespaces.find((each) => each.kind === kind);
      return [found?.relation, found?.with];
    };
    assert.deepEqual(relation([], "uts"), ["own", []]);
    assert.deepEqual(relation([{ name: "itself", pid: outer }], "uts"), ["own", []]);
    assert.deepEqual(relation([{ name: "sidecar", pid: inner }], "uts"), ["shared", ["sidecar"]]);
    assert.deepEqual(relation([{ name: "sidecar", pid: inner }], "mount"), ["host", []]);
    const view = viewProcess(outer, []);
    assert.ok(view.mounts.some(({ target, type }) => target === "/proc" && type === "proc"));
    const own = viewProcess(process.pid, []);
    assert.deepEqual([view.seccomp, view.noNewPrivileges, view.uid], [own.seccomp, own.noNewPrivileges, own.uid]);
    assert.ok(view.capabilities.effective.includes("CAP_SYS_ADMIN"));
    assert.ok(view.cgroups.length > 0);
  } finally {
    process.kill(inner, "SIGKILL");
    await once(child, "close");
  }
  assert.throws(() => viewProcess(inner, []), { code: "ENOENT" });
});
