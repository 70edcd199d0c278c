import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type CgroupPlan, describeFailure, hostPath, InvalidSpec, parseSpec, type Spec } from "@trimaran/linux";
import { describeExit, type MonitoredProcess } from "@trimaran/shim-core";
import { cgroupViews } from "../../cgroup-views.ts";
import { checkNamespaces } from "../../criu/check-namespaces.ts";
import {
  loopbackProgram,
  NEWS_SLOT,
  ownsNetwork,
  type RestorePlan,
  restoredPid,
  tellVerdict,
  toRun,
} from "../../criu/restore-plan.ts";
import { type CriuRun, criuFailure, criuProgram } from "../../criu/run.ts";
import { runHooks } from "../../hooks.ts";
import type { Command, Context } from "../context.ts";
import type { Flags } from "../flags.ts";
import { attend } from "../foreground.ts";
import { type Made, toRecord } from "../make.ts";
import { PassingMonitor } from "../passing-monitor.ts";
import { makePlaces, planPlaces } from "../places.ts";
import { find, stateFor } from "../status.ts";
import { wire } from "../stdio.ts";
import { type ContainerRecord, writeWhole } from "../store.ts";
import { criuPlaces, refuse, requireCriu, searchPathOf } from "./checkpoint.ts";
import { onlyId } from "./create.ts";
import { removeContainer } from "./delete.ts";
import { runPoststart } from "./start.ts";

const REFUSED = ["console-socket", "no-pivot", "lazy-pages", "lsm-profile", "lsm-mount-context", "auto-dedup"];

/** Restore a container from a checkpoint; without --detach also wait, hand its exit code on, and delete it. */
export const restore: Command = async (context, flags, words) => {
  refuse("restore", flags, REFUSED);
  const request = toRequest(context, flags, onlyId(words));
  await using monitor = await PassingMonitor.open(context.kernel.tools.native, context.monitorProgram);
  const { init, record } = await make(context, monitor, request);
  await runPoststart(context, record, request.spec);
  if (flags.has("detach")) return 0;
  const code = await attend(init, false);
  await removeContainer(context, find(context, request.id));
  return code;
};

/** What is to be restored, and as what. */
interface Request {
  readonly id: string;
  readonly bundle: string;
  readonly config: Buffer;
  readonly spec: Spec;
  readonly images: string;
  readonly work: string;
  readonly criu: string;
  readonly pidFile: string | undefined;
}

/** Throws for what cannot be restored: before anything is made. */
function toRequest(context: Context, flags: Flags, id: string): Request {
  const { cwd } = context;
  const bundle = resolve(cwd, flags.text("bundle") ?? ".");
  const config = readFileSync(join(bundle, "config.json"));
  const spec = parseSpec(config);
  if (spec.process?.terminal === true)
    throw new InvalidSpec("process.terminal", "a container with a terminal can't be restored");
  const { images, work } = criuPlaces(context, flags);
  readFileSync(join(images, "inventory.img"));
  const file = flags.text("pid-file");
  const pidFile = file === undefined ? undefined : resolve(cwd, file);
  return { id, bundle, config, spec, images, work, criu: requireCriu(context), pidFile };
}

/** The container, running. What fails leaves nothing. */
async function make(context: Context, monitor: PassingMonitor, request: Request): Promise<Made> {
  const { store } = context;
  const { id, spec, work } = request;
  const places = planPlaces(context, spec, id);
  store.reserve(id);
  const folder = store.folder(id, "criu");
  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.remove(id));
  store.begin(id, places);
  for (const directory of [folder, work]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  const { release, ...made } = await makePlaces(context, monitor, { id, spec, places }, undo);
  const run = toRun(toPlan(context, request, places.cgroup, folder), "criu");
  const begun = begin(monitor, { ...run, ...made }, folder);
  undo.defer(async () => {
    tellVerdict(folder, "no");
    await begun.ended.catch(() => undefined);
  });
  const pid = await begun.restored;
  await release();
  const init = await adopt(monitor, pid);
  const record = toRecord({ ...request, newKeyring: true }, spec, places, pid);
  store.write(record, request.config);
  await beforeItRuns(monitor, request, record);
  tellVerdict(folder, "go");
  await begun.ended;
  undo.move();
  return { record, spec, init };
}

function toPlan(context: Context, request: Request, cgroup: CgroupPlan, folder: string): RestorePlan {
  const { kernel, env } = context;
  const { bundle, spec } = request;
  return {
    ...request,
    folder,
    cgroup,
    searchPath: searchPathOf(env),
    target: hostPath(bundle, spec.root.path),
    rootfs: [],
    mounted: { spec, bundle, cgroups: cgroupViews(kernel.cgroups, cgroup) },
    features: kernel.features,
  };
}

async function adopt(monitor: PassingMonitor, pid: number): Promise<MonitoredProcess> {
  const init = monitor.launch(`adopt/${pid}`, {
    program: new Uint8Array(0),
    describe: () => new Error("the restored process has ended"),
    onSync: nothingToAnswer,
  });
  await init.spawned();
  return init;
}

/** Its network, the hooks that make more of that, and the file that engines read. */
async function beforeItRuns(monitor: PassingMonitor, request: Request, record: ContainerRecord): Promise<void> {
  const { spec, bundle, pidFile } = request;
  const { pid } = record.init;
  checkNamespaces(spec, pid);
  if (ownsNetwork(spec)) {
    const process = monitor.launch("loopback", {
      program: loopbackProgram(pid),
      describe: (step, errno) => new Error(`linux.namespaces network: lo stays down (step ${step}, errno ${errno})`),
      onSync: nothingToAnswer,
    });
    await process.spawned();
    const { exit } = await process.exited();
    if (exit.kind !== "exited" || exit.code !== 0) throw new Error("linux.namespaces network: lo stays down");
  }
  const { prestart, createRuntime } = spec.hooks;
  await runHooks([...prestart, ...createRuntime], stateFor(record, "running", spec), bundle);
  if (pidFile !== undefined) writeWhole(pidFile, String(pid));
}

async function nothingToAnswer(): Promise<never> {
  throw new Error("nothing to answer");
}

/** Let criu begin. `restored` resolves with init's pid, when it is there and stands still; `ended` with criu's good end. */
function begin(monitor: PassingMonitor, run: CriuRun, folder: string) {
  const wiring = wire({
    process: { terminal: false, consoleSize: undefined },
    consoleSocket: undefined,
    preserve: 0,
    fifo: undefined,
  });
  const program = criuProgram(
    {
      ...run,
      prelude(b) {
        wiring.prelude(b);
        run.prelude?.(b);
      },
    },
    wiring.stdio,
  );
  const news = Promise.withResolvers<void>();
  const process = monitor.launch(run.key, {
    program: program.bytes,
    watches: [NEWS_SLOT],
    onWatch: news.resolve,
    describe: (step, errno) => new Error(describeFailure(program, step, errno)),
    onSync: nothingToAnswer,
  });
  const ended = (async () => {
    await process.reachedGate();
    process.openGate();
    const { exit } = await process.exited();
    if (exit.kind === "exited" && exit.code === 0) return;
    await process.execed();
    throw new Error(criuFailure(run, describeExit(exit)));
  })();
  const restored = (async () => {
    await Promise.race([news.promise, ended]);
    const pid = restoredPid(folder);
    if (pid === undefined) throw new Error("criu restore: ended without a process");
    return pid;
  })();
  restored.catch(() => undefined);
  ended.catch(() => undefined);
  return { restored, ended };
}
