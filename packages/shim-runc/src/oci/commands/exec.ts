import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import {
  compileExec,
  describeFailure,
  PROGRAM_SLOT,
  type Process,
  parseExecProcess,
  presentTasks,
} from "@trimaran/linux";
import { type Command, type Context, FailedWith } from "../context.ts";
import { type Flags, UsageError } from "../flags.ts";
import { attend } from "../foreground.ts";
import { answer, cgroupFor, compileFilter, listenFdsOf, withListenFds } from "../make.ts";
import { PassingMonitor } from "../passing-monitor.ts";
import { isAlive } from "../process-identity.ts";
import { signalProgram } from "../programs.ts";
import { ownProcSelf } from "../rootless.ts";
import { type Found, find } from "../status.ts";
import { wire } from "../stdio.ts";
import { writeWhole } from "../store.ts";
import { releaseGate } from "./release-gate.ts";

const SIGKILL = 9;
const EXEC_FAILED = 255;

/** One more process in a container; without --detach wait for it and hand its exit code on. */
export const exec: Command = async (context, flags, words) => {
  try {
    return await execIn(context, flags, words);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    const message = error instanceof Error ? error.message : String(error);
    throw new FailedWith(EXEC_FAILED, `exec failed: ${message}`, { cause: error });
  }
};

async function execIn(context: Context, flags: Flags, words: readonly string[]): Promise<number> {
  const [id, ...command] = words;
  if (id === undefined) throw new UsageError("a container's id is needed");
  const found = find(context, id);
  if (found.status === "stopped") throw new Error("cannot exec in a stopped container");
  if (found.status === "created" && context.caller.kind === "user")
    throw new Error("only root can exec in a container that is not started"); // until then the kernel lets nobody else at its init
  if (found.status === "paused" && !flags.has("ignore-paused")) throw new Error("cannot exec in a paused container");
  const listenFds = listenFdsOf(context.env);
  const process = withListenFds(toProcess(context, flags, command, found), listenFds);
  const detached = flags.has("detach");
  const socket = flags.text("console-socket");
  const consoleSocket = socket === undefined ? undefined : resolve(context.cwd, socket);
  if (detached && process.terminal && consoleSocket === undefined)
    throw new Error("cannot allocate tty if the process is detached without setting console socket");
  const fifo = detached ? `${context.store.fifo(id)}.exec-${globalThis.process.pid}` : undefined;
  const preserve = (flags.integer("preserve-fds") ?? 0) + listenFds;
  const wiring = wire({ process, consoleSocket, preserve, fifo });
  const monitor = await PassingMonitor.open(context.kernel.tools.native, context.monitorProgram);
  try {
    const launched = launch(context, monitor, found, process, wiring, consoleSocket);
    await launched.reachedGate();
    if (!isAlive(found.record.init)) {
      await launched.run(signalProgram(SIGKILL));
      throw new Error("the container's init has ended"); // its pid may have been another's when we joined
    }
    const pidFile = flags.text("pid-file");
    if (pidFile !== undefined) writeWhole(resolve(context.cwd, pidFile), String(launched.pid));
    launched.openGate();
    if (!detached) {
      await launched.execed();
      return await attend(launched, process.terminal && consoleSocket === undefined ? launched : undefined);
    }
  } finally {
    await monitor[Symbol.asyncDispose]();
    if (fifo !== undefined) releaseGate(fifo); // it is nobody's child now: whoever reaps it sees how it ends
  }
  return 0;
}

function launch(
  context: Context,
  monitor: PassingMonitor,
  found: Found,
  process: Process,
  wiring: ReturnType<typeof wire>,
  consoleSocket: string | undefined,
) {
  const { record } = found;
  const spec = found.spec();
  const seccomp = compileFilter(context, spec);
  const program = compileExec({
    id: record.id,
    process,
    spec,
    init: { slot: PROGRAM_SLOT.initPidfd },
    stdio: wiring.stdio,
    cgroup: cgroupFor(found.cgroup),
    resctrlTasks: presentTasks(record.resctrl),
    ...(seccomp === undefined ? {} : { seccomp }),
    host: context.kernel.features,
    newKeyring: record.newKeyring,
    gate: wiring.gate,
    preserved: wiring.preserved,
    prelude(b) {
      ownProcSelf(b, context.caller.kind);
      wiring.prelude(b);
      b.field = "init's namespaces";
      const pidfd = b.call("pidfd_open", [record.init.pid, 0]);
      b.op("KEEP", [pidfd, PROGRAM_SLOT.initPidfd]);
      b.release(pidfd);
    },
  });
  return monitor.launch("exec", {
    program: program.bytes,
    streams: wiring.streams,
    describe: (step, errno) => new Error(describeFailure(program, step, errno)),
    onSync: (sync, asker) =>
      answer(context, sync, asker, { id: record.id, bundle: record.bundle, spec }, consoleSocket),
  });
}

/** A whole process from a file, or the container's own with changes. Throws UsageError and InvalidSpec. */
function toProcess(context: Context, flags: Flags, command: readonly string[], found: Found): Process {
  const file = flags.text("process");
  if (file !== undefined) {
    const process = parseExecProcess(readFileSync(resolve(context.cwd, file)));
    return flags.has("tty") ? { ...process, terminal: true } : process;
  }
  if (command.length === 0) throw new UsageError("a command, or --process, is needed");
  const base = found.spec().process;
  if (base === undefined) throw new Error("the container has no process to take defaults from: use --process");
  const cwd = flags.text("cwd") ?? base.cwd;
  if (!cwd.startsWith("/")) throw new UsageError(`--cwd ${JSON.stringify(cwd)}: not an absolute path`);
  return {
    ...base,
    args: command,
    cwd,
    terminal: flags.has("tty"),
    consoleSize: undefined,
    env: mergeEnv(base.env, flags.list("env")),
    user: toUser(base.user, flags),
    capabilities: addCapabilities(base.capabilities, flags.list("cap")),
    noNewPrivileges: flags.has("no-new-privs") || base.noNewPrivileges,
    apparmorProfile: flags.text("apparmor") ?? base.apparmorProfile,
    selinuxLabel: flags.text("process-label") ?? base.selinuxLabel,
  };
}

function mergeEnv(base: readonly string[], more: readonly string[]): string[] {
  const byName = new Map(base.map((entry) => [entry.slice(0, entry.indexOf("=")), entry]));
  for (const entry of more) {
    const at = entry.indexOf("=");
    if (at < 1) throw new UsageError("--env: not NAME=value"); // not shown: it may be a secret
    byName.set(entry.slice(0, at), entry);
  }
  return [...byName.values()];
}

function toUser(base: Process["user"], flags: Flags): Process["user"] {
  const user = flags.text("user");
  const [, uid, gid] = /^([0-9]{1,10})(?::([0-9]{1,10}))?$/.exec(user ?? "0") ?? [];
  if (uid === undefined || Number(uid) > MAX_ID || Number(gid ?? 0) > MAX_ID)
    throw new UsageError(`--user ${JSON.stringify(user)}: not UID[:GID] in numbers`);
  const additional = flags.list("additional-gids").map((text) => {
    if (!/^[0-9]{1,10}$/.test(text) || Number(text) > MAX_ID)
      throw new UsageError(`--additional-gids ${JSON.stringify(text)}: not a group id`);
    return Number(text);
  });
  const ids =
    user === undefined ? base : { ...base, uid: Number(uid), gid: gid === undefined ? base.gid : Number(gid) };
  return { ...ids, additionalGids: [...base.additionalGids, ...additional] };
}

const MAX_ID = 0xffff_fffe;

/** Into the bounding, effective and permitted sets; not into the inheritable one (CVE-2022-29162). */
function addCapabilities(base: Process["capabilities"], more: readonly string[]): Process["capabilities"] {
  if (more.length === 0 || base === undefined) return base;
  const add = (set: readonly string[]) => [...new Set([...set, ...more])];
  return {
    bounding: add(base.bounding),
    effective: add(base.effective),
    permitted: add(base.permitted),
    inheritable: base.inheritable,
    ambient: base.ambient,
  };
}
