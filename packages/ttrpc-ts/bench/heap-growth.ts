import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { echo, echoImplementation } from "../conformance/echo.ts";
import { Client, memoryChannels, Server } from "../src/index.ts";

/** State that is left after a run. */
export interface Growth {
  readonly heapBytes: number;
  readonly openCalls: number;
  readonly activeCalls: number;
}

/** How much the heap grows over calls that succeed, fail, time out, are given up; on one connection, after a warm-up. */
export async function heapGrowth(calls: number): Promise<Growth> {
  setFlagsFromString("--expose-gc");
  const gc: () => void = runInNewContext("gc");
  const heapBytes = () => {
    gc();
    return process.memoryUsage().heapUsed;
  };
  const server = new Server();
  server.register(echo, echoImplementation);
  const [near, far] = memoryChannels();
  const connection = server.serve(far);
  const client = new Client(near);
  const api = client.service(echo);
  const { signal } = new AbortController();
  const ways = [
    () => api.unary({ typeUrl: "web" }),
    () => api.unary({ typeUrl: "web" }, { timeoutMs: 60_000, signal }),
    () => api.fail({ typeUrl: "5" }).catch(() => {}),
    () => api.unary({}, { timeoutMs: 0 }).catch(() => {}),
  ];
  const run = async (count: number) => {
    for (let i = 0; i < count; i++) await ways[i % ways.length]?.();
    for (let i = 0; i < count / 1000; i++) await api.wait({}, { timeoutMs: 0.01 }).catch(() => {});
    for (let i = 0; i < count / 1000; i++) for await (const _each of api.download({ typeUrl: "2" })) break;
  };
  await run(5000);
  const before = heapBytes();
  await run(calls);
  while (connection.activeCalls > 0) await new Promise(setImmediate);
  const grown = heapBytes() - before;
  const { activeCalls } = connection;
  const { openCalls } = client;
  server.close();
  return { heapBytes: grown, openCalls, activeCalls };
}
