/**
 * How long a machine takes to its agent's first answer, a cold boot and a clone in turn, and what a clone costs in memory: `npm run bench`.
 * The agent is the tests' stand-in: what is measured is the machine. Rounds by argument, 5 by default.
 */
import { join } from "node:path";
import { startVm } from "../src/qemu/child-vm.ts";
import type { VmPaths } from "../src/qemu/plan.ts";
import { startMachine } from "../src/template/start-machine.ts";
import { askAgent } from "../src/testing/ask-agent.ts";
import { processMemoryKb } from "../src/testing/process-memory.ts";
import { openTestGuest } from "../src/testing/test-guest.ts";

await using guest = await openTestGuest();
const { image, qemu, signal, directory } = guest;
const shape = { ...guest.shape, memoryMiB: 512 };
const templates = join(directory, "templates");
const rounds = Number(process.argv[2] ?? 5);
const ready = (paths: VmPaths, alive: AbortSignal) => askAgent(paths.agent, "ping x", alive);

async function start(name: string, root: string | undefined) {
  const begin = performance.now();
  const machine = await startMachine({
    ...{ image, qemu, shape, signal, templates: root, directory: join(directory, name) },
    ...{ start: startVm, startTemplate: startVm, ready, readyTemplate: ready, network: { kind: "none" } },
    onFallback: (why) => console.error(`fallback: ${why.message}`),
  });
  const ms = performance.now() - begin;
  const end = async () => {
    machine.qmp[Symbol.dispose]();
    machine.vm.kill();
    await machine.vm.exited;
  };
  return { ms, pid: machine.vm.pid, origin: machine.origin, end };
}

function summary(values: readonly number[]): string {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => Math.round(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
  return `${at(0.5)} (${at(0)} to ${at(1)})`;
}

const template = await start("first", templates);
await template.end();
const times = { cold: [] as number[], clone: [] as number[] };
for (let round = 0; round < rounds; round++) {
  for (const [name, root] of [
    ["cold", undefined],
    ["clone", templates],
  ] as const) {
    const machine = await start(name, root);
    if (machine.origin !== name) throw new Error(`${name}: it became a ${machine.origin} start`);
    times[name].push(machine.ms);
    await machine.end();
  }
}
const together = await Promise.all(["a", "b", "c"].map((name) => start(name, templates)));
const pss = together.map(({ pid }) => processMemoryKb(pid, "Pss") / 1024);
for (const machine of together) await machine.end();

console.log(
  `qemu ${qemu.version}, ${shape.accelerator}, ${shape.memoryMiB} MiB, ${shape.vcpus} vcpu, ${rounds} rounds`,
);
console.log(`first start, template included   ${Math.round(template.ms)} ms`);
console.log(`cold boot to the first answer    ${summary(times.cold)} ms`);
console.log(`clone to the first answer        ${summary(times.clone)} ms`);
console.log(`PSS of each of three clones      ${summary(pss)} MB`);
