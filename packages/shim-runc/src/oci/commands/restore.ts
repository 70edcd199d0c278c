import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { type CgroupPlan, describeFailure, hostPath, parseSpec, type Spec } from "@trimaran/linux";
import type { MonitoredProcess } from "@trimaran/shim-core";
import { cgroupViews } from "../../cgroup-views.ts";
import { checkNamespaces } from "../../criu/check-namespaces.ts";
import {
  loopbackProgram,
  ownsNetwork,
  type RestorePlan,
  type RestoreRun,
  restoredPid,
  tellVerdict,
  toRun,
} from "../../criu/restore-plan.ts";
import { criuProgram, finishCriu } from "../../criu/run.ts";
import { CriuService, ORPHAN_PTS_MASTER, POST_RESTORE } from "../../criu/service.ts";
import { runHooks } from "../../hooks.ts";
import type { Command, Context } from "../context.ts";
import type { Flags } from "../flags.ts";
import { attend } from "../foreground.ts";
import { checkConsole, type Made, sendConsole, toRecord } from "../make.ts";
import { PassingMonitor } from "../passing-monitor.ts";
import { makePlaces, planPlaces } from "../places.ts";
import { stateFor } from "../status.ts";
import { wire } from "../stdio.ts";
import { type ContainerRecord, writeWhole } from "../store.ts";
import { criuPlaces, refuse, requireCriu, searchPathOf } from "./checkpoint.ts";
import { onlyId } from "./create.ts";
import { removeIfThere } from "./delete.ts";
import { runPoststart } from "./start.ts";

const REFUSED = ["no-pivot", "lazy-pages", "lsm-profile", "lsm-mount-context", "auto-dedup"];

/** Restore a container from a checkpoint; without --detach also wait, hand its exit code on, and delete it. */
export const restore: Command = async (context, flags, words) => {
  refuse("restore", flags, REFUSED);
  const request = toRequest(context, flags, onlyId(words));
  await using monitor = await PassingMonitor.open(context.kernel.tools.native, context.monitorProgram);
  const { init, record, terminal } = await make(context, monitor, request);
  await runPoststart(context, record, request.spec);
  if (flags.has("detach")) return 0;
  const code = await attend(init, terminal);
  await removeIfThere(context, request.id);
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
  /** Where the terminal's master goes. */
  readonly consoleSocket: string | undefined;
}

/** `terminal`: in whose slots the container's is, where it is copied to ours. */
type Restored = Made & { readonly terminal: MonitoredProcess | undefined };

/** Throws for what cannot be restored: before anything is made. */
function toRequest(context: Context, flags: Flags, id: string): Request {
  const { cwd } = context;
  const bundle = resolve(cwd, flags.text("bundle") ?? ".");
  const config = readFileSync(join(bundle, "config.json"));
  const spec = parseSpec(config);
  const socket = flags.text("console-socket");
  const consoleSocket = socket === undefined ? undefined : resolve(cwd, socket);
  checkConsole({ terminal: hasTerminal(spec) }, { detached: flags.has("detach"), consoleSocket });
  const { images, work } = criuPlaces(context, flags);
  readFileSync(join(images, "inventory.img"));
  const file = flags.text("pid-file");
  const pidFile = file === undefined ? undefined : resolve(cwd, file);
  return { id, bundle, config, spec, images, work, criu: requireCriu(context), pidFile, consoleSocket };
}

function hasTerminal({ process }: Spec): boolean {
  return process?.terminal === true;
}

/** The container, running. What fails leaves nothing. */
async function make(context: Context, monitor: PassingMonitor, request: Request): Promise<Restored> {
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
  const begun = begin(monitor, { ...run, ...made }, request);
  const receive = async (pid: number): Promise<Made> => {
    await release();
    const init = await adopt(monitor, pid);
    const record = toRecord({ ...request, newKeyring: true }, spec, places, pid);
    store.write(record, request.config);
    await beforeItRuns(monitor, request, record);
    return { record, spec, init };
  };
  const restored = await (run.request === undefined
    ? heedScript(begun.ended, begun.news, folder, receive)
    : talk(begun, run.request, folder, receive, request.consoleSocket));
  await begun.ended;
  undo.move();
  const isCopied = hasTerminal(spec) && request.consoleSocket === undefined;
  return { ...restored, terminal: isCopied ? begun.process : undefined };
}

/** By the script: its news, and the verdict that it waits for. */
async function heedScript(
  ended: Promise<void>,
  news: Promise<void>,
  folder: string,
  receive: (pid: number) => Promise<Made>,
): Promise<Made> {
  await Promise.race([news, ended]);
  const pid = restoredPid(folder);
  if (pid === undefined) throw new Error("criu restore: ended without a process");
  try {
    const made = await receive(pid);
    tellVerdict(folder, "go");
    return made;
  } catch (error) {
    tellVerdict(folder, "no");
    await ended.catch(() => undefined);
    throw error;
  }
}

/** By criu's service, which hands the terminal over. */
async function talk(
  { process, ended }: ReturnType<typeof begin>,
  request: () => Uint8Array,
  folder: string,
  receive: (pid: number) => Promise<Made>,
  consoleSocket: string | undefined,
): Promise<Made> {
  let made: Made | undefined;
  await process.reachedGate(); // then its socket is there
  try {
    await new CriuService(process, folder).call(request, async ({ script, pid }) => {
      if (script === ORPHAN_PTS_MASTER && consoleSocket !== undefined) await sendConsole(process, consoleSocket);
      if (script === POST_RESTORE) made = await receive(pid);
    });
  } finally {
    await ended.catch(() => undefined); // before anything is taken away that it is in
  }
  await ended;
  if (made === undefined) throw new Error("criu restore: ended without a process");
  return made;
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
    hasTerminal: hasTerminal(spec),
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

/** Let criu begin. `news` resolves when the script has some, `ended` with criu's good end. */
function begin(monitor: PassingMonitor, run: RestoreRun, { spec, consoleSocket }: Request) {
  const { process: { terminal = false, consoleSize } = {} } = spec;
  const wiring = wire({ process: { terminal, consoleSize }, consoleSocket, preserve: 0, fifo: undefined });
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
    streams: wiring.streams,
    watches: run.watches ?? [],
    onWatch: news.resolve,
    describe: (step, errno) => new Error(describeFailure(program, step, errno)),
    onSync: async () => 0n,
  });
  const ended = (async () => {
    await process.reachedGate();
    process.openGate();
    await finishCriu(run, process);
  })();
  ended.catch(() => undefined);
  return { process, news: news.promise, ended };
}
