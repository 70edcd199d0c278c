/** Memory over many calls. Usage: node bench/memory.ts [--calls 1000000] */
import { parseArgs } from "node:util";
import { heapGrowth } from "./heap-growth.ts";

const { values } = parseArgs({ options: { calls: { type: "string", default: "1000000" } } });
const { heapBytes, openCalls } = await heapGrowth(Number(values.calls));
console.log(
  `${values.calls} calls: the heap grew by ${(heapBytes / 1024).toFixed(0)} KiB, ${openCalls} calls are open`,
);
