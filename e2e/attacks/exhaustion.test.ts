/** Calls without end: whatever a container or a client does in them, nothing of a call stays with us. Long form: `ATTACK_ROUNDS`. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ociProcess } from "../harness/bundle.ts";
import { taskServers } from "../harness/left-behind.ts";
import { ShimYard, type StartedShim, trimaranShim } from "../harness/shims.ts";

const PROCESS = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const ROUNDS = Number(process.env.ATTACK_ROUNDS ?? 40) * 4;
/** What a monitor may grow by: a page here and there. And the task server, whose garbage is collected when it likes. */
const MONITOR_GROWTH_KB = 256;
const SERVER_GROWTH_KB = 24 << 10;

let yard: ShimYard;
let pod: StartedShim;
let monitor: number;
before(async () => {
  const path = "/usr/sbin:/usr/bin:/sbin:/bin";
  yard = await ShimYard.open({ name: "trimaran", binary: trimaranShim(), style: "2.1", isControl: false, path });
  pod = await yard.start(["sleep", "1000"]);
  const { pid } = await pod.create();
  await pod.shim.task.start({ id: pod.id });
  monitor = Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
});
after(() => yard[Symbol.asyncDispose]());

/** Files that are open, and memory that is private, in KB: of the monitor, then of the task server. */
async function usage(): Promise<readonly { readonly files: number; readonly privateKb: number }[]> {
  const servers = await taskServers(yard);
  return [monitor, ...servers].map((pid) => {
    const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
    const kb = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(rollup)?.[1]);
    return { files: readdirSync(`/proc/${pid}/fd`).length, privateKb: kb("Private_Dirty") };
  });
}

/** An exec to its end: it is waited for and deleted. */
async function exec(execId: string, script: string, streams: object = {}): Promise<void> {
  const { id, shim } = pod;
  const spec = { typeUrl: PROCESS, value: Buffer.from(JSON.stringify(ociProcess(["sh", "-c", script]))) };
  await shim.task.exec({ id, execId, spec, ...streams });
  await shim.task.start({ id, execId });
  await shim.task.wait({ id, execId });
  await shim.task.delete({ id, execId });
}

/** Nothing has grown between two looks but what garbage there is: `rounds` calls, so many of them at once. */
async function flat(run: (round: number) => Promise<void>, rounds: number, atOnce: number): Promise<void> {
  const play = async (from: number, to: number) => {
    for (let round = from; round < to; round += atOnce)
      await Promise.all(Array.from({ length: Math.min(atOnce, to - round) }, (_, i) => run(round + i)));
  };
  await play(0, atOnce); // what is made once is there by now
  const first = await usage();
  await play(atOnce, atOnce + rounds);
  let last = await usage();
  for (let tries = 0; last.some(({ files }, i) => files > (first[i]?.files ?? 0)) && tries < 50; tries++) {
    await delay(100); // what was closed takes a moment
    last = await usage();
  }
  for (const [i, { files, privateKb }] of last.entries()) {
    const before = first[i] ?? { files: 0, privateKb: 0 };
    assert.ok(files <= before.files, `process ${i}: ${before.files} open files, then ${files}`);
    const growthKb = i === 0 ? MONITOR_GROWTH_KB : SERVER_GROWTH_KB;
    assert.ok(privateKb <= before.privateKb + growthKb, `process ${i}: ${before.privateKb} KB, then ${privateKb}`);
  }
}

test("CVE-2022-31030, CVE-2022-23471, CVE-2025-64329: execs that write much, also to nobody, leave nothing behind", {
  timeout: 600_000 + ROUNDS * 1000,
}, async () => {
  const stdout = `file://${join(yard.containerd.dir, "exec.out")}`;
  await flat((round) => exec(`e${round}`, "head -c 200000 /dev/zero", round % 2 === 0 ? { stdout } : {}), ROUNDS, 8);
});

test("CVE-2026-53495: execs whose children keep their output open end with them, and leave nothing behind", {
  timeout: 600_000 + ROUNDS * 1000,
}, async () => {
  const stdout = `file://${join(yard.containerd.dir, "child.out")}`;
  const children = () => readdirSync("/proc").filter((name) => isOurs(name)).length;
  await flat((round) => exec(`c${round}`, "sleep 1000 & echo $!", { stdout }), ROUNDS / 4, 20); // each Delete waits 2 s for its output
  assert.ok(children() > ROUNDS / 4, "the control: they run, with the output open");
});

/** A sleep of the pod's. */
function isOurs(name: string): boolean {
  try {
    return readFileSync(`/proc/${name}/cgroup`, "utf8").includes(pod.id);
  } catch {
    return false;
  }
}
