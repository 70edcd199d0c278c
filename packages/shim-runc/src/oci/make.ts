import { readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Cgroup,
  compileInit,
  describeFailure,
  errnoName,
  hostPath,
  InvalidSpec,
  isNoCgroup,
  type Process,
  parseResources,
  parseSpec,
  readDevices,
  type Spec,
  SYNC_CODE,
} from "@trimaran/linux";
import type { MonitoredProcess, SyncRequest } from "@trimaran/shim-core";
import { cgroupViews } from "../cgroup-views.ts";
import { isCrowded } from "../held-scope.ts";
import { answerSync, type SyncSubject } from "../sync.ts";
import type { Context } from "./context.ts";
import type { PassingMonitor } from "./passing-monitor.ts";
import { makePlaces, planPlaces } from "./places.ts";
import { identify } from "./process-identity.ts";
import { sendConsoleProgram, signalProgram } from "./programs.ts";
import { checkFor, enterOwnNamespaces, mapsProgram } from "./rootless.ts";
import { wire } from "./stdio.ts";
import { type ContainerRecord, type Places, writeWhole } from "./store.ts";

const SIGKILL = 9;

/** What `create` and `run` are told. */
export interface MakeOptions {
  readonly id: string;
  /** Absolute. */
  readonly bundle: string;
  readonly consoleSocket: string | undefined;
  readonly pidFile: string | undefined;
  readonly preserve: number;
  readonly newKeyring: boolean;
  /** Nobody waits for it: it outlives its monitor, and waits at a FIFO. */
  readonly detached: boolean;
}

/** A container at its start gate. */
export interface Made {
  readonly record: ContainerRecord;
  readonly spec: Spec;
  readonly init: MonitoredProcess;
}

/** Make a container up to its start gate, and write down that it is there. What fails leaves nothing. */
export async function makeContainer(context: Context, monitor: PassingMonitor, options: MakeOptions): Promise<Made> {
  const { store, kernel } = context;
  const { id, bundle } = options;
  const config = readConfig(bundle);
  const parsed = parseSpec(config);
  const listenFds = listenFdsOf(context.env);
  const spec = parsed.process === undefined ? parsed : { ...parsed, process: withListenFds(parsed.process, listenFds) };
  checkFor(context.caller, spec);
  const seccomp = compileFilter(context, spec);
  const places = planPlaces(context, spec, id);
  const { cgroup: plan, resctrl } = places;
  const process = spec.process ?? { terminal: false, consoleSize: undefined };
  checkConsole(process, options);
  store.reserve(id);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => store.remove(id));
  store.begin(id, places);
  const wiring = wire({
    ...options,
    preserve: options.preserve + listenFds,
    process,
    fifo: options.detached ? store.fifo(id) : undefined,
  });
  const { cgroup, resctrlTasks, release } = await makePlaces(context, monitor, { id, spec, places }, undo);
  const program = compileInit({
    id,
    spec,
    bundle,
    rootfs: [],
    stdio: wiring.stdio,
    cgroup: {
      ...cgroupFor(cgroup, plan.scope === undefined || !isCrowded(parseResources(spec.linux.resources))),
      ownDirs: isNoCgroup(cgroup.plan) ? "none" : cgroupViews(kernel.cgroups, plan),
    },
    resctrlTasks,
    ...(seccomp === undefined ? {} : { seccomp }),
    netDevices: readDevices(spec.linux.netDevices, "throw"),
    host: kernel.features,
    newKeyring: options.newKeyring,
    gate: wiring.gate,
    preserved: wiring.preserved,
    prelude(b) {
      enterOwnNamespaces(b, context.caller);
      wiring.prelude(b);
    },
  });
  const init = monitor.launch("init", {
    program: program.bytes,
    streams: wiring.streams,
    describe: (step, errno) => new Error(describeFailure(program, step, errno)),
    onSync: (sync, process) => answer(context, sync, process, { id, bundle, spec }, options.consoleSocket),
  });
  undo.defer(async () => {
    if (!init.hasExited) await init.run(signalProgram(SIGKILL)).catch(() => undefined);
    await init.exited();
  });
  await init.reachedGate();
  await release();
  const record = toRecord(options, spec, { cgroup: cgroup.plan, resctrl }, init.pid);
  store.write(record, config);
  if (options.pidFile !== undefined) writeWhole(options.pidFile, String(init.pid));
  undo.move();
  return { record, spec, init };
}

/** The cgroup as a launch program wants it. */
export function cgroupFor(
  cgroup: Cgroup,
  isCloned = true,
): { readonly attachFiles: readonly string[]; readonly into?: string } {
  const into = isCloned ? cgroup.unifiedDirectory() : undefined;
  return { attachFiles: cgroup.attachFiles({ clonedIntoUnified: isCloned }), ...(into === undefined ? {} : { into }) };
}

/** Answer a launch program; a terminal's master goes to the console socket if there is one. */
export async function answer(
  { caller }: Context,
  sync: SyncRequest,
  process: MonitoredProcess,
  subject: SyncSubject,
  consoleSocket: string | undefined,
): Promise<bigint> {
  if (sync.code === SYNC_CODE.MAPPED && caller.kind === "user") {
    const { errno } = await process.run(mapsProgram(process.pid, subject.spec));
    if (errno !== 0) throw new Error(`linux.uidMappings: refused (${errnoName(errno)})`);
    return 0n;
  }
  if (sync.code !== SYNC_CODE.CONSOLE || consoleSocket === undefined) return answerSync(sync, process, subject);
  await sendConsole(process, consoleSocket);
  return 0n;
}

/** Send the terminal in a process's slots to whoever listens there. Throws where nobody does. */
export async function sendConsole(process: MonitoredProcess, consoleSocket: string): Promise<void> {
  const { errno } = await process.run(sendConsoleProgram(consoleSocket));
  if (errno !== 0) throw new Error(`--console-socket ${consoleSocket}: cannot be reached (errno ${errno})`);
}

/** What is written down of a container that is there. Throws if its init is gone. */
export function toRecord(
  options: Pick<MakeOptions, "id" | "bundle" | "newKeyring">,
  spec: Spec,
  places: Places,
  pid: number,
): ContainerRecord {
  const init = identify(pid);
  if (init === undefined) throw new Error("init ended before it was started");
  const { id, bundle, newKeyring } = options;
  const rootfs = hostPath(bundle, spec.root.path);
  return { id, init, bundle, rootfs, created: new Date().toISOString(), ...places, newKeyring };
}

function readConfig(bundle: string): Buffer {
  try {
    return readFileSync(join(bundle, "config.json"));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new InvalidSpec("config.json", `can't be read from the bundle ${bundle} (${why})`);
  }
}

/** The spec's seccomp filter; undefined where it asks for none. */
export function compileFilter({ filters, cacheDirectory }: Context, { linux: { seccomp } }: Spec) {
  return seccomp === undefined ? undefined : filters.compile(seccomp, cacheDirectory());
}

/** LISTEN_FDS of our own environment; 0 if there is none. */
export function listenFdsOf(env: Context["env"]): number {
  const count = Number(env.LISTEN_FDS ?? "0");
  return Number.isInteger(count) && count > 0 ? count : 0;
}

/** Systemd's protocol: how many of the inherited fds are listening sockets. */
export function withListenFds<T extends Pick<Process, "env">>(process: T, listenFds: number): T {
  if (listenFds === 0) return process;
  return { ...process, env: [...process.env, `LISTEN_FDS=${listenFds}`, "LISTEN_PID=1"] };
}

/** A terminal's master has to go somewhere. Throws where it can't, and for a socket that nothing would come to. */
export function checkConsole(
  { terminal }: Pick<Process, "terminal">,
  options: Pick<MakeOptions, "detached" | "consoleSocket">,
): void {
  if (!options.detached) return;
  if (terminal && options.consoleSocket === undefined)
    throw new Error("cannot allocate tty if the container is detached without setting console socket");
  if (!terminal && options.consoleSocket !== undefined)
    throw new Error("cannot use console socket if the container is detached without a tty");
}
