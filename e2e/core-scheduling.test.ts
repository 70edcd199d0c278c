import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { test } from "node:test";
import { invoke, Shim } from "@trimaran/shim-check";
import { parentOf, socketPath } from "./harness/belongings.ts";
import { coreCookies, coreSchedulingError } from "./harness/core-cookie.ts";
import { ShimYard, shimKinds } from "./harness/shims.ts";

const kinds = (await shimKinds()).filter(({ name }) => !name.includes("gvisor") && !name.includes("kata"));

for (const kind of kinds) {
  test(`SCHED_CORE: a cookie for the pod; where the kernel has none, start fails, says so, and leaves nobody: ${kind.name}`, {
    timeout: 60_000,
  }, async () => {
    await using yard = await ShimYard.open(kind);
    const reason = await coreSchedulingError();
    const { options, bundle } = await yard.prepare(["sleep", "1000"]);
    const asked = { ...options, env: { ...options.env, SCHED_CORE: "1" } };
    if (reason === undefined) {
      await using shim = await Shim.start(asked);
      const { pid } = await shim.task.create({ id: options.id, bundle: bundle.path, rootfs: bundle.mounts });
      const [init, own] = await coreCookies([pid, await parentOf(pid)]);
      assert.equal(init, own);
      assert.notEqual(init, "0");
      return;
    }
    const done = await invoke(asked, "start");
    assert.notEqual(done.code, 0);
    if (kind.isControl) {
      assert.match(`${done.stdout}${done.stderr}`, /sched core/);
      return;
    }
    assert.match(String(done.stderr), new RegExp(`SCHED_CORE: .*\\(${reason} from prctl PR_SCHED_CORE\\)\n$`));
    assert.equal(existsSync(socketPath(yard.containerd.address, yard.tag, options.id)), false);
  });
}
