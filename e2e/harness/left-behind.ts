import { setTimeout as delay } from "node:timers/promises";
import { cgroupsOf, filesOf, mountsOf, processesOf } from "./belongings.ts";
import { run } from "./process.ts";
import type { ShimYard } from "./shims.ts";

/** Pids of a yard's task servers, dead ones too. */
export async function taskServers({ trimaranState }: ShimYard): Promise<number[]> {
  const { stdout } = await run(["sh", "-c", `cat ${trimaranState}/*/server.pid`]);
  return stdout.split("\n").flatMap((line) => (line === "" ? [] : [Number.parseInt(line, 10)]));
}

/** What is there of a yard besides its task server, once all is deleted; ends are waited for, within a bound. */
export async function leftBehind(yard: ShimYard): Promise<string[]> {
  const { dir, address } = yard.containerd;
  const scope = { tag: yard.tag, dir, namespace: yard.tag, address, ids: yard.ids };
  const servers = new Set(await taskServers(yard));
  for (let tries = 0; ; tries++) {
    const processes = (await processesOf(scope)).filter(({ pid }) => !servers.has(pid) && pid !== process.pid);
    const files = (await filesOf(scope)).filter((path) => !path.includes("/t/"));
    const left = [
      ...processes.map(({ pid, command }) => `process ${pid}: ${command}`),
      ...(await mountsOf(scope)),
      ...(await cgroupsOf(scope)),
      ...files,
    ];
    if (left.length === 0 || tries > 60) return left;
    await delay(50);
  }
}

/** As a crash: SIGKILL. */
export async function killTaskServers(yard: ShimYard): Promise<void> {
  for (const pid of await taskServers(yard)) process.kill(pid, "SIGKILL");
}
