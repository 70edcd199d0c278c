import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { makeMonitor, Pod } from "./testing/pod.ts";
import { Program } from "./testing/program.ts";
import { response } from "./testing/ttrpc.ts";

makeMonitor("monitor", "monitor-asan");

const LIMIT_KB = 100;

function privateKb(pid: number): number {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  return ["Private_Clean", "Private_Dirty"].reduce(
    (sum, name) => sum + Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1]),
    0,
  );
}
/** Of it, what does not come from the program's file: text is shared by all monitors of a machine, one test has one. */
function dirtyKb(pid: number): number {
  return Number(/Private_Dirty:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]);
}

test(`an idle monitor has less than ${LIMIT_KB} kB of its own, also after much work; it makes no system call`, async () => {
  await using pod = await Pod.open("monitor");
  const fresh = dirtyKb(pod.link.pid);
  pod.link.onFrame = (conn, frame) => {
    pod.link.send(conn, response(Buffer.from(frame).readUInt32BE(4), Buffer.from(frame)));
  };
  using client = await pod.connect();
  for (let i = 0; i < 20; i++)
    assert.equal((await client.call("Echo", Buffer.alloc(1 << 20, "x"))).length > 1 << 20, true);
  for (let i = 0; i < 200; i++) client.ask("Wait", "x");
  const p = new Program();
  p.clone();
  p.gate();
  p.exit(0);
  for (let i = 0; i < 20; i++) pod.link.spawn(`p${i}`, { program: p.encode() });
  for (let i = 0; i < 20; i++) await pod.process(`p${i}`, (r) => r.atGate);
  for (let i = 0; i < 20; i++) {
    pod.link.openGate(`p${i}`);
    await pod.process(`p${i}`, (r) => r.exit !== undefined);
    pod.link.forget(`p${i}`);
  }
  await client.until(() => client.frames.length === 220);
  const idle = dirtyKb(pod.link.pid);
  console.log(`private dirty: ${fresh} kB fresh, ${idle} kB after work; with the text ${privateKb(pod.link.pid)} kB`);
  assert.ok(idle < LIMIT_KB, `${idle} kB`);
  const switches = (): string =>
    /voluntary_ctxt_switches:\s+(\d+)/.exec(readFileSync(`/proc/${pod.link.pid}/status`, "utf8"))?.[1] ?? "";
  await new Promise((resolve) => setTimeout(resolve, 300)); // the last FORGETs are on their way
  const before = switches();
  await new Promise((resolve) => setTimeout(resolve, 500));
  assert.equal(switches(), before);
});

test("a peer of another group is refused without a byte", async () => {
  await using pod = await Pod.open("monitor-asan");
  const script = `const s=require("net").connect(${JSON.stringify(pod.at.socket)});let n=0;s.on("data",d=>n+=d.length);s.on("error",()=>{});s.on("close",()=>console.log("closed",n))`;
  const text = execFileSync("setpriv", ["--regid=1", "--clear-groups", process.execPath, "-e", script], {
    encoding: "utf8",
    timeout: 10_000,
  });
  assert.equal(text, "closed 0\n");
});
