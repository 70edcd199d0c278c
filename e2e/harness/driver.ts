// What the long drivers, soak and chaos, have in common: their flags, and the engine that they work on.
import { type Engine, startContainerd } from "./containerd.ts";
import { KataTemplates } from "./kata-templates.ts";
import { CONTROL, GVISOR, KATA, TRIMARAN } from "./runtimes.ts";

/** An engine by the name that drivers take: a release line of containerd, or our daemon. */
const ENGINES = {
  "1.6": { version: "1.6", daemon: "containerd" },
  "2.x": { version: "2.x", daemon: "containerd" },
  trimaran: { version: "2.x", daemon: "trimaran" },
} as const;
export type EngineName = keyof typeof ENGINES;

const RUNTIMES = { runc: TRIMARAN, gvisor: GVISOR, kata: KATA, control: CONTROL } as const;
export type RuntimeName = keyof typeof RUNTIMES;

/** containerd's name of a runtime. */
export function runtimeType(name: RuntimeName): string {
  return RUNTIMES[name];
}

/** Throws RangeError with the names that there are. */
export function parseEngine(text: string): EngineName {
  return oneOf("--engine", ENGINES, text);
}

/** Throws RangeError with the names that there are. */
export function parseRuntime(text: string): RuntimeName {
  return oneOf("--runtime", RUNTIMES, text);
}

/** A flag that counts something. Throws RangeError. */
export function parseCount(flag: string, text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 0) return count;
  throw new RangeError(`${flag} ${JSON.stringify(text)}: no number of them`);
}

/** An engine, and templates for machines where the runtime needs them. */
export async function openEngine(name: EngineName, runtime: RuntimeName): Promise<Engine> {
  const engine = await startContainerd(ENGINES[name]);
  if (runtime !== "kata") return engine;
  const templates = new KataTemplates();
  process.once("exit", () => templates[Symbol.dispose]());
  templates.serve(engine.trimaranState);
  return engine;
}

/** Digits in groups: 12,345. */
export function grouped(count: number): string {
  return count.toLocaleString("en-US");
}

function oneOf<T extends string>(flag: string, table: Readonly<Record<T, unknown>>, text: string): T {
  if (Object.hasOwn(table, text)) return text as T;
  throw new RangeError(`${flag} ${JSON.stringify(text)}: none of ${Object.keys(table).join(", ")}`);
}
