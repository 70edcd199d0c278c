import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, before, describe, type TestContext, test } from "node:test";
import { deleteTasks } from "./clean-up.ts";
import type { EngineVersion } from "./config.ts";
import { Container, type ContainerOptions, runContainer } from "./container.ts";
import { BUILD_BIN, type Engine, type EngineOptions, startContainerd } from "./containerd.ts";
import { KataTemplates } from "./kata-templates.ts";
import { assertNoLeaks, type Snapshot, snapshot } from "./leaks.ts";
import { PATIENCE } from "./patience.ts";
import type { Finished } from "./process.ts";
import { CONTROL, GVISOR, KATA, TRIMARAN } from "./runtimes.ts";

export { CONTROL, GVISOR, KATA, TRIMARAN } from "./runtimes.ts";

/** Runtimes that run in any file only when they are asked for. */
const ASKED_FOR: Readonly<Record<string, readonly string[]>> = { gvisor: [GVISOR], kata: [KATA] };

/** What a scenario works with: one engine, one runtime. */
export interface Box {
  readonly engine: Engine;
  readonly runtime: string;
  readonly isControl: boolean;
  /** `ctr run --rm` to the end. */
  run(options: ContainerOptions, ...command: readonly string[]): Promise<Finished>;
  /** `ctr run -d`. */
  start(options: ContainerOptions, ...command: readonly string[]): Promise<Container>;
}

/** Defines the scenarios of a file. */
export type Scenarios = (scenario: (name: string, body: (box: Box, t: TestContext) => Promise<void>) => void) => void;

/** Where a file's scenarios make sense. */
export interface MatrixOptions {
  /** Default: upstream's and ours for runc. */
  readonly runtimes?: readonly string[];
  /** Default: all. */
  readonly engines?: readonly EngineVersion[];
  /** Run it on our own daemon, too, with the newest ctr. Default: false; E2E_DAEMON=trimaran is for all files, and both ctrs. */
  readonly onOurDaemonToo?: boolean;
  readonly engine?: Partial<EngineOptions>;
}

/**
 * Run scenarios over containerd {1.6, 2.x} and runtime {upstream's, ours}, each pair with an engine of its own; after each scenario
 * nothing may be left of it. E2E_RUNTIMES=control|trimaran|gvisor|kata|all and E2E_ENGINES=1.6|2.x|all narrow the matrix;
 * E2E_DAEMON=trimaran puts our own daemon in containerd's place.
 */
export function matrix(name: string, scenarios: Scenarios, options: MatrixOptions = {}): void {
  const wanted = options.runtimes ?? ASKED_FOR[process.env.E2E_RUNTIMES ?? ""] ?? [CONTROL, TRIMARAN];
  const runtimes = chosen("E2E_RUNTIMES", { control: CONTROL, trimaran: TRIMARAN, gvisor: GVISOR, kata: KATA });
  const all = chosen<EngineVersion>("E2E_ENGINES", { "1.6": "1.6", "2.x": "2.x" });
  const engines = all.filter((version) => options.engines?.includes(version) ?? true);
  const daemon = process.env.E2E_DAEMON === "trimaran" ? "trimaran" : "containerd";
  const places: Pick<EngineOptions, "version" | "daemon">[] = engines.map((version) => ({ version, daemon }));
  if (options.onOurDaemonToo === true && daemon === "containerd" && engines.includes("2.x"))
    places.push({ version: "2.x", daemon: "trimaran" });
  for (const place of places) {
    for (const runtime of runtimes.filter((each) => wanted.includes(each))) {
      describe(`${name}: ${runtime} on ${place.daemon} ${place.version}`, { timeout: 480_000 * PATIENCE }, () => {
        suite({ ...options.engine, ...place }, runtime, scenarios);
      });
    }
  }
}

const templates = new KataTemplates();
after(() => templates[Symbol.dispose]());

function suite(options: EngineOptions, runtime: string, scenarios: Scenarios): void {
  let open: { readonly box: Box; readonly clean: Snapshot } | undefined;
  const box = () => {
    if (open === undefined) throw new Error("the engine did not start");
    return open.box;
  };
  before(async () => {
    mustExist(runtime);
    const engine = await startContainerd(options);
    const box = openBox(engine, runtime);
    if (runtime === KATA) await firstMachine(box);
    open = { box, clean: await snapshot(engine) };
  });
  afterEach(async () => {
    if (open !== undefined) await assertNoLeaks(open.box.engine, open.clean);
  });
  after(async () => {
    await open?.box.engine[Symbol.asyncDispose]();
  });
  scenarios((name, body) => {
    test(name, async (t) => {
      // ctr closes its FIFOs as soon as it hears of an exit. With upstream's shim output is lost by that now and then, so the control
      // may try again; ours may not.
      for (let tries = box().isControl ? CONTROL_TRIES : 1; ; tries--) {
        try {
          await body(box(), t);
          return;
        } catch (error) {
          t.diagnostic(await complaints(box().engine));
          await deleteTasks(box().engine).catch(() => undefined); // what comes next begins clean all the same
          if (tries === 1) throw error;
          t.diagnostic(`tried again after: ${error}`);
        }
      }
    });
  });
}

/** What takes its time once: whether kvm works is tried, and a template boots. */
async function firstMachine({ engine, run }: Box): Promise<void> {
  templates.serve(engine.trimaranState);
  const { code, stderr } = await run({ timeoutMs: 120_000 }, "true");
  if (code !== 0) throw new Error(`the first machine: ${stderr}`);
}

const CONTROL_TRIES = 4;

function openBox(engine: Engine, runtime: string): Box {
  return {
    engine,
    runtime,
    isControl: runtime === CONTROL,
    run: (options, ...command) => runContainer(engine, runtime, options, command),
    start: (options, ...command) => Container.start(engine, runtime, options, command),
  };
}

/** A missing binary is an error, never a skip. */
function mustExist(runtime: string): void {
  if (runtime === CONTROL) return;
  const [name, version] = runtime.split(".").slice(-2);
  const binary = join(BUILD_BIN, `containerd-shim-${name}-${version}`);
  if (!existsSync(binary)) throw new Error(`${binary}: not built; npm run build`);
}

/** The values of `choices`, or the one that an environment variable names. Throws on another name. */
export function chosen<T extends string>(variable: string, choices: Readonly<Record<string, T>>): T[] {
  const wish = process.env[variable] ?? "all";
  if (wish === "all") return Object.values(choices);
  const choice = choices[wish];
  if (choice === undefined)
    throw new Error(`${variable}: "${wish}" is none of all, ${Object.keys(choices).join(", ")}`);
  return [choice];
}

/** Warnings and errors at the end of containerd's log. */
async function complaints(engine: Engine): Promise<string> {
  const lines = (await readFile(engine.logPath, "utf8")).split("\n");
  const last = lines.filter((line) => /level=(warning|error|fatal)|panic/.test(line)).slice(-12);
  return `containerd's log, ${engine.logPath}:\n${last.join("\n")}`;
}
