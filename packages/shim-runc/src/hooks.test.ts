import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { runHooks } from "./hooks.ts";

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "hooks-"));
});
after(() => rmSync(folder, { recursive: true }));

function hook(script: string, env: readonly string[] = [], timeoutMs?: number) {
  return { field: 'hooks.createRuntime[0] "/bin/sh"', path: "/bin/sh", args: ["name", "-c", script], env, timeoutMs };
}

test("in order, with the state on stdin, their own environment and cwd", async () => {
  const script = 'cat > out; echo "$0 $A=$PATH" >> out; pwd >> out';
  await runHooks([hook(script, ["A=x=y"]), hook("echo second >> out")], '{"id":"web"}', folder);
  const [state, names, cwd, second] = readFileSync(join(folder, "out"), "utf8").split("\n");
  assert.equal(state?.slice(0, 12), '{"id":"web"}');
  assert.match(`${state}${names}`, /x=y=/);
  assert.ok([names, cwd, second].includes(folder));
  assert.match(readFileSync(join(folder, "out"), "utf8"), /second\n$/);
});

test("the first failure ends it, with the hook's name and words", async () => {
  const bad = [hook("echo some; echo words >&2; exit 7"), hook("touch ran")];
  await assert.rejects(runHooks(bad, "{}", folder), {
    name: "HookError",
    message: /^hooks\.createRuntime\[0\] "\/bin\/sh": exited with status 7: (some\nwords|words\nsome)$/,
  });
  assert.throws(() => readFileSync(join(folder, "ran")), { code: "ENOENT" });
  await assert.rejects(runHooks([hook("kill -9 $$")], "{}", folder), /was killed by SIGKILL$/);
  await assert.rejects(runHooks([{ ...hook(""), path: "/nothing" }], "{}", folder), /cannot be started \(ENOENT\)$/);
});

test("a timeout ends the hook and what it started; what it left behind is not waited for", async () => {
  const startedAt = performance.now();
  await assert.rejects(runHooks([hook("sleep 30 & sleep 30", [], 300)], "{}", folder), /did not end within 0\.3 s$/);
  await runHooks([hook("sleep 3 & exit 0")], "x".repeat(1_000_000), folder);
  assert.ok(performance.now() - startedAt < 2500);
});
