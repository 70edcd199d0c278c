import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { after, before, describe, test } from "node:test";
import { chooseChecks, identify, type Result, resultText, runChecks, type Target } from "@trimaran/shim-check";
import { buildRootfs } from "./harness/images.ts";
import { KataTemplates } from "./harness/kata-templates.ts";
import { PATIENCE } from "./harness/patience.ts";
import { type ShimKind, shimKinds } from "./harness/shims.ts";

/** What `trimaran check` looks at first: each verb, its errors, the order of events, and what is left. */
const SHORT = [
  ...["start.text", "start.json", "start.protobuf", "start.socket", "start.fails-readably"],
  ...["delete.never-started", "delete.before-create", "delete.running"],
  ...["task.connect", "task.wait-before-start", "task.kill-exited", "task.delete-running", "task.delete-twice"],
  ...["task.pids", "task.pause", "task.resize-close", "task.shutdown-busy", "exec.fails", "exec.id-taken"],
  ...["events.order", "events.drained", "stdio.binary", "stdio.file", "wire.unknown-names"],
];

/** E2E_CHECK=long: all of them, with faults and those that take their time. */
const isLong = process.env.E2E_CHECK === "long";
const checks = chooseChecks({ faults: true, slow: true, ...(!isLong && { only: SHORT }) });

/** In the short form one containerd's form of `start` is enough: its checks have the others. */
const LONG_ONLY = new Set(["upstream 2.x", "trimaran as 2.1"]);
const kinds = (await shimKinds()).filter(({ name }) => isLong || !LONG_ONLY.has(name));

const FIRST_MACHINE_MS = 300_000;

for (const kind of kinds) {
  describe(`shim contract: ${kind.name}`, { timeout: (isLong ? 3_600_000 : 240_000) * PATIENCE }, () => {
    let state: string;
    const results = new Map<string, Result>();
    const templates = new KataTemplates();
    before(async () => {
      state = await mkdtemp("/tmp/trm-check-");
      if (kind.isMachine === true) await bootFirst(kind, state, templates);
      const target = await targetOf(kind, state);
      const jobs = kind.isMachine === true ? 1 : 3;
      const onResult = (result: Result) => void results.set(result.check.id, result);
      await runChecks(target, await identify(kind.binary), checks, { jobs, onResult });
    });
    after(async () => {
      templates[Symbol.dispose]();
      await rm(state, { recursive: true, force: true });
    });

    for (const { id, title } of checks) {
      test(`${id}: ${title}`, (t) => {
        const result = results.get(id);
        assert.ok(result !== undefined, "it did not run");
        const text = resultText(result, { colour: false, verbose: false });
        if (result.verdict.kind !== "passed") t.diagnostic(text);
        assert.notEqual(result.verdict.kind, "failed", text);
        assert.ok(kind.isControl || result.verdict.kind !== "known", text); // a list of deviations is upstream's
      });
    }
  });
}

async function targetOf(kind: ShimKind, state: string): Promise<Target> {
  const env = { PATH: kind.path, TRIMARAN_STATE: state };
  const limitMs = (kind.isMachine === true ? 60_000 : 10_000) * PATIENCE;
  const { binary, style, options } = kind;
  return { binary, style, rootfs: await buildRootfs(), env, limitMs, ...(options && { options }) };
}

/** A template boots once; what is checked then are its clones. */
async function bootFirst(kind: ShimKind, state: string, templates: KataTemplates): Promise<void> {
  templates.serve(state);
  const target = { ...(await targetOf(kind, state)), limitMs: FIRST_MACHINE_MS };
  const options = { jobs: 1, onResult: () => undefined };
  await runChecks(
    target,
    await identify(kind.binary),
    chooseChecks({ only: ["task.quick-exit"], faults: false, slow: false }),
    options,
  );
}
