import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { Code } from "ttrpc-ts";
import { cgroupsOf, filesOf, mountsOf, processesOf } from "../../../e2e/harness/belongings.ts";
import { type ShimKind, ShimYard, type StartedShim } from "../../../e2e/harness/shims.ts";
import { installPlainShim } from "./testing/plain-shim.ts";
import { execWith, killTaskServers, openClient, serverLog, startWith } from "./testing/session.ts";

describe("kata, with the agent as a plain process", { timeout: 300_000 }, () => {
  const folder = mkdtempSync(join(tmpdir(), "trm-kata-"));
  let kind: ShimKind;
  let yard: ShimYard;
  before(async () => {
    kind = await installPlainShim(folder);
  });
  after(() => rmSync(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    yard = await ShimYard.open(kind);
  });
  afterEach(async (context) => {
    const passed = "passed" in context && context.passed === true;
    if (!passed) console.error(await serverLog(yard));
    const left = await leftBehind();
    await yard[Symbol.asyncDispose]();
    if (passed) assert.deepEqual(left, []);
  });

  async function leftBehind(): Promise<unknown[]> {
    const { dir, address } = yard.containerd;
    const scope = { tag: yard.tag, dir, namespace: yard.tag, address, ids: yard.ids };
    for (let tries = 0; ; tries++) {
      await killTaskServers(yard);
      const processes = (await processesOf(scope)).filter(({ state }) => state !== "Z");
      const left = [...processes, ...(await cgroupsOf(scope)), ...(await filesOf(scope)), ...(await mountsOf(scope))];
      if (left.length === 0 || tries === 50) return left;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }

  /** The exit status, and all that was written; the container is gone then. */
  async function finish(started: StartedShim): Promise<number> {
    const { exitStatus } = await started.shim.task.wait({ id: started.id });
    await started.shim.remove();
    return exitStatus;
  }

  test("exit status and both outputs", async () => {
    const started = await yard.start(["sh", "-c", "echo out; echo err >&2; exit 7"]);
    const client = await openClient(yard);
    await startWith(started, client);
    assert.equal(await finish(started), 7);
    assert.equal((await client.stdout).toString(), "out\n");
    assert.equal((await client.stderr).toString(), "err\n");
  });
});
