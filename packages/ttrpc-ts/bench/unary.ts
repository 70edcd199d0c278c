/**
 * Unary calls, ours against Go's library: as server with a Go client, as client of a Go server. Both sides of each
 * comparison are interleaved in one run. Usage: node bench/unary.ts [--rounds 7] [--calls 20000] [--json]
 */
import { mkdtempSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { echo, echoImplementation } from "../conformance/echo.ts";
import { buildPeer, runPeer, startPeer } from "../conformance/peer.ts";
import { Client, connectUnix, listenUnix, Server } from "../src/index.ts";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "7" },
    calls: { type: "string", default: "20000" },
    json: { type: "boolean", default: false },
  },
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

interface Pair {
  /** What ttrpc-ts is. */
  readonly role: "server" | "client";
  readonly inFlight: number;
  readonly ours: () => Promise<number>;
  readonly rival: () => Promise<number>;
}

/** Calls per second; ratios of the rates, sorted: above 1 ours is faster. */
interface Rates {
  readonly role: string;
  readonly inFlight: number;
  readonly ours: number;
  readonly go: number;
  readonly ratio: number;
  readonly ratios: readonly number[];
}

async function measure({ role, inFlight, ours, rival }: Pair): Promise<Rates> {
  const times: { readonly ours: number; readonly go: number }[] = [];
  for (let round = -1; round < rounds; round++) {
    const pair = { ours: await ours(), go: await rival() };
    if (round >= 0) times.push(pair); // the first one warms up
  }
  const ratios = times.map((pair) => pair.go / pair.ours).sort((a, b) => a - b);
  const rate = (of: "ours" | "go") => Math.round(calls / (median(times.map((pair) => pair[of])) / 1e9));
  return { role, inFlight, ours: rate("ours"), go: rate("go"), ratio: median(ratios), ratios };
}

function print(rows: readonly Rates[]): void {
  console.log(
    `${cpus()[0]?.model}, ${cpus().length} cores, Node ${process.version}, ttrpc for Go 1.2.7, ${calls} calls`,
  );
  console.log(
    "| ttrpc-ts as | ours, calls/s | Go, calls/s | ours, us | Go, us | ratio of rates (above 1: ours is faster) |",
  );
  console.log("|---|---|---|---|---|---|");
  for (const { role, inFlight, ours, go, ratio, ratios } of rows) {
    const us = (rate: number) => ((inFlight / rate) * 1e6).toFixed(1);
    const spread = `${ratios[0]?.toFixed(2)} to ${ratios.at(-1)?.toFixed(2)}`;
    console.log(
      `| ${role}, ${inFlight} in flight | ${ours} | ${go} | ${us(ours)} | ${us(go)} | ${ratio.toFixed(2)} (${spread}) |`,
    );
  }
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
  const rows: Rates[] = [];
  for (const inFlight of [1, 50]) {
    const asServer = (socket: string) => () => goClient(program, socket, inFlight);
    rows.push(await measure({ role: "server", inFlight, ours: asServer(ourSocket), rival: asServer(goSocket) }));
    const rival = () => goClient(program, goSocket, inFlight);
    rows.push(await measure({ role: "client", inFlight, ours: () => ourClient(goSocket, inFlight), rival }));
  }
  if (values.json) console.log(JSON.stringify(rows));
  else print(rows);
}
server.close();
rmSync(folder, { recursive: true });
