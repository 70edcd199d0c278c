import assert from "node:assert/strict";
import { test } from "node:test";
import { containerd } from "@trimaran/proto";
import { PodDirectory } from "../pod/directory.ts";
import { TestPod } from "../testing/test-pod.ts";
import { parseShimArguments } from "./arguments.ts";
import { deleteContainer } from "./delete.ts";

/** A starter waits 3 s; then it undoes by itself, and the daemon's start has waited with it. */
const PATIENCE_MS = 3000;

test("a daemon that asks while it comes up hears no events, and gets its answer all the same", {
  timeout: PATIENCE_MS,
}, async (t) => {
  const pod = new TestPod();
  t.after(() => pod.pod.close());
  await pod.run();
  pod.isAway = true;
  pod.monitor.exit("init/web", 7 << 8);
  const pods = new PodDirectory(() => undefined);
  pods.add(pod.pod);
  const request = { argv: [], env: new Map<string, string>(), cwd: "/nonexistent", stdin: new Uint8Array(), pid: 1 };
  const answer = await deleteContainer(pods, parseShimArguments(["-id", "web", "delete"]), request);
  assert.ok(answer.kind === "print");
  assert.equal(containerd.task.v2.DeleteResponse.decode(answer.stdout).exitStatus, 7);
  assert.equal(pod.monitor.hasExited, true);
});
