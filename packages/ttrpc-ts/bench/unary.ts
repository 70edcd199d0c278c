/**
 * Unary calls, ours against Go's library: as server with a Go client, as client of a Go server. Both sides of each
 * comparison are interleaved in one run. Usage: node bench/unary.ts [--rounds 7] [--calls 20000]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { echo, echoImplementation } from "../conformance/echo.ts";
import { buildPeer, runPeer, startPeer } from "../conformance/peer.ts";
import { Client, connectUnix, listenUnix, Server } from "../src/index.ts";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "7" }, calls: { type: "string", default: "20000" } },
});
const rounds = Number(values.rounds);
const calls = Number(values.calls);

/** Nanoseconds that all calls of a Go client took. */
async function goClient(program: string, socket: string, inFlight: number): Promise<number> {
  const [line] = await runPeer(program, ["bench", socket, String(calls), String(inFlight)]);
  return Number(line);
}

async function ourClient(socket: string, inFlight: number): Promise<number> {
  const client = new Client(await connectUnix(socket));
  const { unary } = client.service(echo);
  const beginMs = performance.now();
  let left = calls;
  const worker = async () => {
    while (left-- > 0) await unary({ typeUrl: "web" });
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  const ns = (performance.now() - beginMs) * 1e6;
  client.close();
  return ns;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[numbers.length >> 1] ?? Number.NaN;
}

interface Row {
  readonly name: string;
  readonly inFlight: number;
  readonly ours: () => Promise<number>;
  readonly rival: () => Promise<number>;
}

async function measure(row: Row): Promise<string> {
  const ours: number[] = [];
  const rival: number[] = [];
  for (let round = -1; round < rounds; round++) {
    const pair = [await row.ours(), await row.rival()] as const;
    if (round < 0) continue; // warm-up
    ours.push(pair[0]);
    rival.push(pair[1]);
  }
  const ratios = ours.map((ns, i) => (rival[i] ?? Number.NaN) / ns).sort((a, b) => a - b);
  const us = (ns: number) => ((ns / calls / 1000) * row.inFlight).toFixed(1);
  const perSecond = (ns: number) => Math.round(calls / (ns / 1e9));
  const spread = `${ratios[0]?.toFixed(2)} to ${ratios.at(-1)?.toFixed(2)}`;
  return `| ${row.name}, ${row.inFlight} in flight | ${perSecond(median(ours))} | ${perSecond(median(rival))} | ${us(median(ours))} | ${us(median(rival))} | ${median(ratios).toFixed(2)} (${spread}) |`;
}

const folder = mkdtempSync(join(tmpdir(), "ttrpc-bench-"));
const program = buildPeer("1.2");
const goSocket = join(folder, "go");
const ourSocket = join(folder, "ours");
const server = new Server();
server.register(echo, echoImplementation);
await listenUnix(server, ourSocket);
{
  using _peer = await startPeer(program, goSocket);
  console.log(
    `${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}, ttrpc for Go 1.2.7, ${calls} calls`,
  );
  console.log(
    "| ttrpc-ts as | ours, calls/s | Go, calls/s | ours, us | Go, us | ratio of rates (above 1: ours is faster) |",
  );
  console.log("|---|---|---|---|---|---|");
  for (const inFlight of [1, 50]) {
    const asServer = (socket: string) => () => goClient(program, socket, inFlight);
    console.log(await measure({ name: "server", inFlight, ours: asServer(ourSocket), rival: asServer(goSocket) }));
    const rival = () => goClient(program, goSocket, inFlight);
    console.log(await measure({ name: "client", inFlight, ours: () => ourClient(goSocket, inFlight), rival }));
  }
}
server.close();
rmSync(folder, { recursive: true });
