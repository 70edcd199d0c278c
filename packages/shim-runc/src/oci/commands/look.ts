import { execFileSync } from "node:child_process";
import { features as featuresDocument } from "../../features.ts";
import type { Command, Context } from "../context.ts";
import { parseDuration } from "../duration.ts";
import { followEvents } from "../event-stream.ts";
import { UsageError } from "../flags.ts";
import { toStatsEvent } from "../stats-event.ts";
import { expect, expectCgroup, type Found, find } from "../status.ts";
import { onlyId } from "./create.ts";

const OCI_VERSION = "1.3.0";
const DEFAULT_INTERVAL = "5s"; // runc's

/** The OCI state, and what runc adds to it. */
export const state: Command = async (context, _flags, words) => {
  const found = find(context, onlyId(words));
  context.print(`${JSON.stringify(describe(context, found), undefined, 2)}\n`);
  return 0;
};

function describe({ store }: Context, found: Found) {
  const { record, status } = found;
  const { annotations } = found.spec();
  return {
    ociVersion: OCI_VERSION,
    id: record.id,
    pid: status === "stopped" ? 0 : record.init.pid,
    status,
    bundle: record.bundle,
    rootfs: record.rootfs,
    created: record.created,
    ...(annotations.size === 0 ? {} : { annotations: Object.fromEntries(annotations) }),
    owner: store.owner(record.id),
  };
}

/** All containers below --root. */
export const list: Command = async (context, flags) => {
  const all = context.store.ids().map((id) => describe(context, find(context, id)));
  if (flags.has("quiet")) context.print(all.map(({ id }) => `${id}\n`).join(""));
  else if (isJson(flags.text("format"))) context.print(`${JSON.stringify(all)}\n`);
  else {
    const rows = all.map(({ id, pid, status, bundle, created, owner }) => [
      id,
      `${pid}`,
      status,
      bundle,
      created,
      owner,
    ]);
    context.print(table([["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"], ...rows]));
  }
  return 0;
};

/** Throws UsageError for anything but `table` and `json`. */
function isJson(format: string | undefined): boolean {
  if (format === undefined || format === "table") return false;
  if (format === "json") return true;
  throw new UsageError(`--format ${JSON.stringify(format)}: table or json`);
}

function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => cell.padEnd((widths[i] ?? 0) + 3))
      .join("")
      .trimEnd();
  return rows.map((row) => `${line(row)}\n`).join("");
}

/** The container's processes: pids, or the lines of ps(1) that are theirs. */
export const ps: Command = async (context, flags, words) => {
  const [id, ...options] = words;
  const found = find(context, onlyId(id === undefined ? [] : [id]));
  expectCgroup(found, "list the processes of");
  const pids = found.cgroup.processes();
  if (flags.text("format") === "json") {
    context.print(`${JSON.stringify(pids)}\n`);
    return 0;
  }
  isJson(flags.text("format"));
  const lines = execFileSync("ps", options.length === 0 ? ["-ef"] : options, { encoding: "utf8" })
    .trimEnd()
    .split("\n");
  const [head = "", ...rest] = lines;
  const column = head.trim().split(/\s+/).indexOf("PID");
  if (column < 0) throw new UsageError("ps: its output has no column PID");
  const ours = rest.filter((line) => pids.includes(Number(line.trim().split(/\s+/)[column])));
  context.print([head, ...ours].map((line) => `${line}\n`).join(""));
  return 0;
};

/** With --stats counters of the cgroup, once; else again and again until the container ends, and OOM kills when they happen. */
export const events: Command = async (context, flags, words) => {
  const found = find(context, onlyId(words));
  expect(found, "read the events of", "created", "running", "paused");
  expectCgroup(found, "read the events of");
  const { record, cgroup } = found;
  const { id } = record;
  const intervalMs = parseDuration("interval", flags.text("interval") ?? DEFAULT_INTERVAL);
  const tell = (event: unknown) => context.print(`${JSON.stringify(event)}\n`);
  const onTick = () => tell(toStatsEvent(id, cgroup.stats(), cgroup.memoryStat()));
  if (flags.has("stats")) onTick();
  else
    await followEvents(
      context.kernel.tools.native,
      { pid: record.init.pid, cgroup, intervalMs },
      { onTick, onOom: () => tell({ type: "oom", id }) },
    );
  return 0;
};

/** What this runtime knows. Source: runtime-spec, features.md. */
export const features: Command = async (context: Context) => {
  context.print(`${JSON.stringify(featuresDocument(), undefined, 2)}\n`);
  return 0;
};
