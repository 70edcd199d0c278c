import { readFileSync, globSync } from "node:fs";
import { oneContainer } from "./latency.ts";
import { shimKinds, ShimYard } from "../harness/shims.ts";
process.env.E2E_RUNTIMES = "trimaran";
const kind = (await shimKinds()).find((k) => k.name === "trimaran as 1.6")!;
await using yard = await ShimYard.open(kind);
const n = Number(process.argv[2] ?? 30);
const sums: Record<string, number[]> = {};
let pid = "";
const cpu = () => { const f = readFileSync(`/proc/${pid}/stat`, "utf8").split(" "); return [Number(f[13]), Number(f[14])]; };
const sched = () => Number(readFileSync(`/proc/${pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
const threads = () => globSync(`/proc/${pid}/task/*/schedstat`).map((f) => Number(readFileSync(f, "utf8").split(" ")[0]) / 1e6);
let c0: number[] = [], s0 = 0, t0: number[] = [];
const self0 = process.cpuUsage();
for (let i = 0; i < n; i++) {
  const laps = await oneContainer(yard);
  if (i === 10) { pid = readFileSync(globSync(`${yard.containerd.dir}/**/server.pid`)[0]!, "utf8").split(" ")[0]!; c0 = cpu(); t0 = threads(); }
  if (i >= 10) for (const [k, v] of Object.entries(laps)) (sums[k] ??= []).push(v);
}
const c1 = cpu(), t1 = threads();
console.log("task server cpu ms per container: user", ((c1[0]! - c0[0]!) * 10) / (n - 11), "sys", ((c1[1]! - c0[1]!) * 10) / (n - 11), "threads", t1.map((v, i) => ((v - (t0[i] ?? 0)) / (n - 11)).toFixed(2)).join(" "));
const u = process.cpuUsage(self0);
console.log("client cpu ms per container", (u.user / 1000 / n).toFixed(2), (u.system / 1000 / n).toFixed(2));
for (const [k, v] of Object.entries(sums)) { v.sort((a, b) => a - b); console.log(k, "p10", v[Math.floor(v.length * 0.1)]!.toFixed(2), "p50", v[v.length >> 1]!.toFixed(2)); }
