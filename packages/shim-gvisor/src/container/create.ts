import { existsSync, readFileSync } from "node:fs";
import { initKey, type MonitoredProcess, SLOT, type StdioLaunch, watchOom } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import type { RunscCommand } from "../runsc/runsc.ts";
import { commandKey, startMemberCommand, withRootfs } from "./commands.ts";
import { CONSOLE_SOCKET, launchReceiver, receiveConsole } from "./console.ts";
import type { Layout } from "./layout.ts";
import type { Making } from "./making.ts";

/** `runsc create` (or `restore`) starts a sandbox and a gofer; on a busy machine that may take seconds. */
export const CREATE_LIMIT_MS = 60_000;
const SIGKILL = 9;

/** The processes that `runsc create` leaves. */
export interface Made {
  /** Whose slots the container's stdio is in. */
  readonly stdio: MonitoredProcess;
  readonly sandboxPid: number;
  /** Of a member without a terminal. */
  readonly gated: MonitoredProcess | undefined;
}

/**
 * Who has the container's stdio? runsc passes its own on to the sandbox: a first container's at `create`, a member's at `start`, so that its
 * `runsc start` is prepared now and waits at the gate. A terminal is received from `create` by a process of its own.
 */
type StdioHolder = "create" | "start" | "console";

function stdioHolder({ request, membership }: Layout): StdioHolder {
  if (request.stdio.terminal) return "console";
  return membership.kind === "member" ? "start" : "create";
}

/** Run `runsc create`, with its key known: wait for its end. Throws runsc's reason. */
export async function makeContainer(making: Making, platform: string | undefined): Promise<Made> {
  const { layout, host, runsc } = making;
  const key = initKey(layout.request.id);
  const { ioUid: uid, ioGid: gid } = layout.config;
  const stdio = await host.openStdio(key, layout.request.stdio, { ...layout.request, owner: { uid, gid } });
  const holder = stdioHolder(layout);
  const console = holder === "console" ? await receiveConsole(host, key, stdio, layout.work) : undefined;
  const command = createCommand(making, platform, holder === "create" ? stdio : undefined);
  const create = runsc.launch(command);
  try {
    await runsc.finish(command, create, CREATE_LIMIT_MS);
  } catch (error) {
    if (console) await host.signal(console, SIGKILL).catch(() => undefined); // it may have done its work
    await console?.exited();
    throw error;
  }
  await console?.exited(); // the terminal is in its slot
  const gated = holder === "start" ? runsc.launch(gatedStart(making, stdio)) : undefined;
  await gated?.reachedGate();
  return { stdio: console ?? gated ?? create, sandboxPid: readPid(layout), gated };
}

/** Whether `runsc create` has done its work: without, there is no sandbox to be found again. */
export function isMade(layout: Layout): boolean {
  return existsSync(pidFile(layout));
}

/** The same processes, after a restart of the task server. */
export function findContainer(making: Making, stdio: StdioLaunch): Made {
  const { layout, host, runsc } = making;
  const holder = stdioHolder(layout);
  const gated = holder === "start" ? runsc.launch(gatedStart(making, stdio)) : undefined;
  const found =
    gated ??
    (holder === "console"
      ? launchReceiver(host, initKey(layout.request.id), stdio, layout.work)
      : runsc.launch(createCommand(making, undefined, stdio)));
  return { stdio: found, sandboxPid: readPid(layout), gated };
}

function createCommand(making: Making, platform: string | undefined, stdio: StdioLaunch | undefined): RunscCommand {
  const { layout, machine, cgroup } = making;
  const { id, bundle, stdio: wanted } = layout.request;
  const log = layout.config.flags.get("user-log");
  const watch = stdio ? cgroup.oomWatch() : undefined;
  return {
    key: stdio ? initKey(id) : commandKey(id, "create"),
    name: "create",
    flags: platform === undefined ? [] : [`--platform=${platform}`],
    args: [
      "create",
      `--bundle=${bundle}`,
      `--pid-file=${pidFile(layout)}`,
      ...(wanted.terminal ? [`--console-socket=${CONSOLE_SOCKET}`] : []),
      ...(log === undefined ? [] : [`--user-log=${log.value}`]),
      layout.runscId,
    ],
    cgroup,
    setup: withRootfs(layout, machine),
    ...(stdio && { stdio }),
    ...(watch && { watches: [SLOT.watch], prelude: (builder) => watchOom(builder, watch) }),
  };
}

/** A member's start with the container's stdio, which waits at the gate. */
function gatedStart(making: Making, stdio: StdioLaunch): RunscCommand {
  return { ...startMemberCommand(making), key: initKey(making.layout.request.id), stdio, gate: true };
}

/** Where runsc writes the pid of the sandbox. */
export function pidFile({ work }: Layout): string {
  return `${work}/pid`;
}

/** The sandbox that runsc has made. Throws Unknown where it has left no pid. */
export function readPid(layout: Layout): number {
  const text = readFileSync(pidFile(layout), "utf8");
  const pid = Number.parseInt(text, 10);
  if (pid > 0) return pid;
  throw new StatusError(Code.Unknown, `runsc create: left no pid in ${pidFile(layout)}`);
}
