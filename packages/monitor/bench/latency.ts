/** Latencies of the monitor on this machine: `node bench/latency.ts`. Median and 90th percentile, in microseconds. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { Installation, makeMonitor, NODE, Pod } from "../src/testing/pod.ts";
import { Program, serveProgram } from "../src/testing/program.ts";
import { response } from "../src/testing/ttrpc.ts";

const ROUNDS = 300;

function print(name: string, timesUs: number[]): void {
  timesUs.sort((a, b) => a - b);
  const at = (part: number): string => (timesUs[Math.floor(timesUs.length * part)] ?? 0).toFixed(0).padStart(6);
  console.log(`${name.padEnd(60)} ${at(0.5)} ${at(0.9)}`);
}

async function measure(name: string, once: (i: number) => Promise<void>): Promise<void> {
  const times: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    const at = performance.now();
    await once(i);
    times.push((performance.now() - at) * 1000);
  }
  print(name, times);
}

/** exec to exit, from a loop in C-like code (a shell's fork), with a warm task server in another process. */
function loop(name: string, command: string, at: Installation): void {
  const script = `i=0; while [ $i -lt ${ROUNDS} ]; do ${command} > /dev/null < /dev/null; i=$((i+1)); done`;
  const startedAt = performance.now();
  execFileSync("sh", ["-c", script], { env: { TRIMARAN_STATE: at.state, TRIMARAN_TEST: at.root } });
  print(name, [((performance.now() - startedAt) * 1000) / ROUNDS]);
}

makeMonitor("monitor");
{
  await using at = new Installation("monitor", [NODE, join(import.meta.dirname, "../src/testing/fake-server.ts")]);
  const coldAt = performance.now();
  await at.run(["-id", "pid", "start"]);
  print("start, cold: the task server is started (Node, from source)", [(performance.now() - coldAt) * 1000]);
  loop("exec of /bin/true (dynamic), for comparison", "/bin/true", at);
  loop("start, warm, print", `${at.exe} -namespace ns -address addr -id pid start`, at);
}
{
  await using pod = await Pod.open("monitor");
  let sockets = 0;
  await pod.sleep();
  pod.serve(async () => {
    const socket = join(pod.at.root, `s${sockets++}`);
    return {
      kind: "serve",
      stdout: Buffer.from(`unix://${socket}`),
      program: serveProgram(socket, pod.at.environment, pod.at.log),
    };
  });
  await measure(
    "start, warm, serve: bind, clone, exec (and Node's execFile)",
    async () => void (await pod.at.run(["-id", "x", "start"])),
  );
}
{
  await using pod = await Pod.open("monitor");
  pod.link.onFrame = (conn, frame) => pod.link.send(conn, response(Buffer.from(frame).readUInt32BE(4), "ok"));
  using client = await pod.connect();
  await measure("a unary call, client and server in one Node", async () => void (await client.call("State")));
  const p = new Program();
  p.clone();
  p.gate();
  p.exit(0);
  const program = p.encode();
  await measure("SPAWN to the gate", async (i) => {
    pod.link.spawn(`g${i}`, { program });
    await pod.process(`g${i}`, (r) => r.atGate);
  });
  await measure("GATE to the report of the exit", async (i) => {
    pod.link.openGate(`g${i}`);
    await pod.process(`g${i}`, (r) => r.exit !== undefined);
    pod.link.forget(`g${i}`);
  });
}
