import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";

/**
 * Run a script that says "ready" and then the number of every job that it has done, and kill it at a moment within `lifeMs` of its
 * being ready. Returns the number of the first job that it has not called done.
 */
export async function runUntilKilled(
  script: string,
  folder: string,
  firstJob: number,
  lifeMs: number,
): Promise<number> {
  const stdio = ["ignore", "pipe", "inherit"] as const;
  const child = spawn(process.execPath, [script, folder, String(firstJob)], { stdio: [...stdio] });
  const exited = once(child, "exit");
  let next = firstJob;
  for await (const line of createInterface(child.stdout ?? [])) {
    if (line === "ready") void setTimeout(Math.random() * lifeMs).then(() => child.kill("SIGKILL"));
    else next = Number(line) + 1;
  }
  assert.deepEqual(await exited, [null, "SIGKILL"]);
  return next;
}
