import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { isNoCgroup, parseIntelRdt, parseResources, updateResctrl, updateScope } from "@trimaran/linux";
import type { Command, Context } from "../context.ts";
import { type Flags, UsageError } from "../flags.ts";
import { signalProcess } from "../process-identity.ts";
import { parseSignal } from "../signals.ts";
import { expect, expectCgroup, find } from "../status.ts";
import type { ContainerRecord } from "../store.ts";
import { onlyId } from "./create.ts";

const SIGKILL = 9;

/** Signal init, or with --all every process; SIGKILL of a container without a pid namespace of its own is always for all. */
export const kill: Command = async (context, flags, words) => {
  const id = onlyId(words, 2);
  const signal = parseSignal(words[1] ?? "SIGTERM");
  const found = find(context, id);
  const { record, cgroup } = found;
  if (flags.has("all")) {
    expectCgroup(found, "kill all of");
    if (signal === SIGKILL) await cgroup.kill();
    else cgroup.signal(signal);
    return 0;
  }
  if (found.status === "stopped") throw new Error("container not running");
  const pidNamespace = found.spec().linux.namespaces.get("pid");
  const isForAll = signal === SIGKILL && (pidNamespace === undefined || pidNamespace.path !== undefined);
  if (isForAll && !isNoCgroup(record.cgroup)) await cgroup.kill();
  else if (!signalProcess(context.kernel.tools.native, record.init, signal)) throw new Error("container not running");
  if (signal === SIGKILL && found.status === "paused") cgroup.thaw(); // v1 holds a killed process until it is thawed
  return 0;
};

/** Freeze all processes. */
export const pause: Command = async (context, _flags, words) => {
  const found = find(context, onlyId(words));
  expect(found, "pause", "running", "created");
  expectCgroup(found, "pause");
  await found.cgroup.freeze();
  return 0;
};

/** Let them run again. */
export const resume: Command = async (context, _flags, words) => {
  const found = find(context, onlyId(words));
  expect(found, "resume", "paused");
  found.cgroup.thaw();
  return 0;
};

/** Change limits: those of a file, or of flags. What is not named stays. */
export const update: Command = async (context, flags, words) => {
  const found = find(context, onlyId(words));
  expect(found, "update", "created", "running", "paused");
  expectCgroup(found, "update");
  const limits = readResctrlLimits(flags, found.record);
  const parsed = parseResources(readResources(context, flags));
  if (limits !== undefined) updateResctrl(limits.plan, limits.lines);
  if (parsed === undefined) return 0;
  if (found.record.cgroup.scope === undefined) found.cgroup.update(parsed);
  else await updateScope(context.kernel.cgroups, found.cgroup, parsed);
  return 0;
};

/** What --l3-cache-schema and --mem-bw-schema want of the container's class of service. Throws UsageError and InvalidSpec. */
function readResctrlLimits(flags: Flags, { resctrl, id }: ContainerRecord) {
  const intelRdt = { l3CacheSchema: flags.text("l3-cache-schema"), memBwSchema: flags.text("mem-bw-schema") };
  const lines = parseIntelRdt({ intelRdt }, "")?.limits ?? [];
  if (lines.length === 0) return undefined;
  if (resctrl === undefined)
    throw new UsageError(`--l3-cache-schema, --mem-bw-schema: ${id} was made without linux.intelRdt`);
  return { plan: resctrl, lines };
}

function readResources({ cwd, readStdin }: Context, flags: Flags): unknown {
  const file = flags.text("resources");
  if (file !== undefined) {
    const text = file === "-" ? readStdin() : readFileSync(resolve(cwd, file));
    return JSON.parse(text.toString()) as unknown;
  }
  const number = (name: string, least = 0) => flags.integer(name, least);
  const share = number("cpu-share");
  return {
    memory: {
      limit: number("memory", -1),
      reservation: number("memory-reservation", -1),
      swap: number("memory-swap", -1),
    },
    cpu: {
      shares: share,
      quota: number("cpu-quota", -1),
      period: number("cpu-period"),
      burst: number("cpu-burst"),
      idle: number("cpu-idle"),
      realtimePeriod: number("cpu-rt-period"),
      realtimeRuntime: number("cpu-rt-runtime"),
      cpus: flags.text("cpuset-cpus"),
      mems: flags.text("cpuset-mems"),
    },
    blockIO: { weight: number("blkio-weight") },
    pids: { limit: number("pids-limit", -1) },
  };
}
