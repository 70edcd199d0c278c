import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { countLoggedOomKills } from "./oom-log.ts";

const SCOPE = "/kubepods.slice/cri-containerd-a1.scope";

function record(task: string, seconds = 100): string {
  const text = `oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=x,mems_allowed=0,oom_memcg=${task},task_memcg=${task},task=dd,pid=7,uid=0`;
  return `6,12,${seconds * 1e6},-;${text}\n SUBSYSTEM=memory\n`;
}

/** A file gives all records in one read, a device one each. */
function count(text: string, sinceS = 50): number {
  const folder = mkdtempSync(join(tmpdir(), "kmsg-"));
  try {
    const log = join(folder, "log");
    writeFileSync(log, text);
    return countLoggedOomKills(SCOPE, sinceS, log);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("a kill in the cgroup, below it, and where the kernel knows it by a longer name", () => {
  for (const task of [SCOPE, `${SCOPE}/below`, `/machine.slice/outer.scope${SCOPE}`])
    assert.equal(count(record(task)), 1);
});

test("no kill of another cgroup's, of an earlier container's of that name, or of another text", () => {
  for (const text of [
    record(`${SCOPE}2`),
    record("/kubepods.slice"),
    record(SCOPE, 48),
    `6,1,99000000,-;${SCOPE}\n`,
    "",
  ])
    assert.equal(count(text), 0);
});

test("the kernel's own log can be read to its end; one that is missing is none", () => {
  assert.equal(countLoggedOomKills("/no/such/cgroup", 0), 0);
  assert.equal(countLoggedOomKills(SCOPE, 0, "/no/such/log"), 0);
});
