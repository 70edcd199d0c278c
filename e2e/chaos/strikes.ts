import { setTimeout as delay } from "node:timers/promises";
import { taskV2, taskV3 } from "@trimaran/proto";
import { Client, connectUnix } from "ttrpc-ts";
import { parentOf, socketPath } from "../harness/belongings.ts";
import type { RuntimeName } from "../harness/driver.ts";
import type { LiveContainer, Stage } from "./life.ts";

/** What may be hit, and by what. Only the last three end containers. */
export type Strike =
  | "kill task server"
  | "stop task server"
  | "kill engine"
  | "stop engine"
  | "stop sandbox"
  | "kill monitor"
  | "kill sandbox";

type Weights = Partial<Readonly<Record<Strike, number>>>;

const SANDBOXED: Weights = {
  "kill task server": 4,
  "stop task server": 3,
  "kill engine": 2,
  "stop engine": 1,
  "stop sandbox": 2,
  "kill monitor": 1,
  "kill sandbox": 2,
};

/** How often each is chosen, by runtime. A sandbox: runsc's process, or qemu with the agent in it. */
const WEIGHTS: Readonly<Record<RuntimeName, Weights>> = {
  runc: { "kill task server": 5, "stop task server": 4, "kill engine": 2, "stop engine": 1, "kill monitor": 2 },
  gvisor: SANDBOXED,
  kata: SANDBOXED,
  control: { "kill engine": 2, "stop engine": 1, "kill monitor": 2 },
};

const PAUSE_MS = 700;
const ANSWER_LIMIT_MS = 60_000;

/** Choose one. `random`: 0 to 1. */
export function chooseStrike(runtime: RuntimeName, random: number): Strike {
  const entries = Object.entries(WEIGHTS[runtime]) as [Strike, number][];
  let left = random * entries.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [strike, weight] of entries) {
    left -= weight;
    if (left < 0) return strike;
  }
  throw new RangeError(`random ${random}: not below 1`);
}

/** Carry it out. Resolves with whether there was anything to hit, and how long a State then took, if that was asked. */
export async function carryOut(
  strike: Strike,
  stage: Stage,
): Promise<{ readonly hit: boolean; readonly answeredMs?: number }> {
  const { engine } = stage.fleet;
  switch (strike) {
    case "kill task server": {
      const hit = (await engine.taskServerPids()).map((pid) => signal(pid, "SIGKILL")).some(Boolean);
      if (hit) await backAgain(stage);
      return { hit };
    }
    case "stop task server": {
      const victim = anyOf(stage);
      const hit = (await engine.taskServerPids()).map((pid) => signal(pid, "SIGSTOP")).some(Boolean);
      if (!hit) return { hit };
      const answeredMs = victim && (await timeState(stage, victim));
      if (answeredMs !== undefined) return { hit, answeredMs };
      await backAgain(stage);
      return { hit };
    }
    case "kill engine":
      await stage.fleet.restart();
      return { hit: true };
    case "stop engine":
      return { hit: await pause(engine.pid) };
    case "stop sandbox": {
      const victim = anyOf(stage);
      return { hit: victim !== undefined && (await pause(victim.pid)) };
    }
    case "kill sandbox":
      return { hit: strikeDown(anyOf(stage), ({ pid }) => pid) };
    case "kill monitor": {
      const victim = anyOf(stage);
      const monitor = victim && (await parentOf(victim.pid).catch(() => undefined));
      return { hit: monitor !== undefined && monitor > 1 && strikeDown(victim, () => monitor) };
    }
  }
}

function anyOf({ alive, random }: Stage): LiveContainer | undefined {
  return [...alive][Math.floor(random() * alive.size)];
}

function strikeDown(victim: LiveContainer | undefined, pidOf: (victim: LiveContainer) => number): boolean {
  if (victim === undefined) return false;
  victim.isStruck = true;
  return signal(pidOf(victim), "SIGKILL");
}

/** Stop it for a moment. */
async function pause(pid: number): Promise<boolean> {
  if (!signal(pid, "SIGSTOP")) return false;
  await delay(PAUSE_MS);
  return signal(pid, "SIGCONT");
}

/** Whether there was such a process. */
function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ESRCH") return false;
    throw error;
  }
}

/**
 * Until another task server serves. One that is killed each time before it is up, for longer than containerd waits for a shim at its own start
 * (5 s), would make containerd give up its tasks: that is containerd's bound, not what is to be shown.
 */
async function backAgain(stage: Stage): Promise<void> {
  for (let looks = 0; looks < 10; looks++) {
    const victim = anyOf(stage);
    if (victim && (await timeState(stage, victim)) !== undefined) return;
    await delay(100);
  }
}

/** Milliseconds until a shim has answered State; undefined if that container went away meanwhile. */
async function timeState({ fleet: { engine } }: Stage, { id }: LiveContainer): Promise<number | undefined> {
  const beganMs = performance.now();
  try {
    const client = new Client(await connectUnix(socketPath(engine.address, engine.namespace, id)));
    try {
      await client.service(engine.version === "1.6" ? taskV2 : taskV3).state({ id }, { timeoutMs: ANSWER_LIMIT_MS });
      return performance.now() - beganMs;
    } finally {
      client.close();
    }
  } catch {
    return undefined;
  }
}
