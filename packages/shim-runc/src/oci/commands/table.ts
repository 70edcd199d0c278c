import type { Command } from "../context.ts";
import type { FlagTable } from "../flags.ts";
import { checkpoint } from "./checkpoint.ts";
import { kill, pause, resume, update } from "./control.ts";
import { create } from "./create.ts";
import { deleteContainer } from "./delete.ts";
import { exec } from "./exec.ts";
import { events, features, list, ps, state } from "./look.ts";
import { restore } from "./restore.ts";
import { run } from "./run.ts";
import { spec } from "./spec.ts";
import { start } from "./start.ts";

/** A command, its flags, and a line for --help. */
export interface Entry {
  readonly command: Command;
  readonly usage: string;
  readonly flags: FlagTable;
  readonly short: Readonly<Record<string, string>>;
}

const MAKE = {
  bundle: "text",
  "console-socket": "text",
  "pid-file": "text",
  "no-pivot": "boolean",
  "no-new-keyring": "boolean",
  "preserve-fds": "text",
} as const;

const UPDATE = ["resources", "memory", "memory-reservation", "memory-swap", "pids-limit", "blkio-weight"]
  .concat(["cpu-share", "cpu-quota", "cpu-period", "cpu-burst", "cpu-idle", "cpu-rt-period", "cpu-rt-runtime"])
  .concat(["cpuset-cpus", "cpuset-mems", "l3-cache-schema", "mem-bw-schema"]);

const CRIU = {
  "image-path": "text",
  "work-path": "text",
  "tcp-established": "boolean",
  "ext-unix-sk": "boolean",
  "shell-job": "boolean",
  "file-locks": "boolean",
  "manage-cgroups-mode": "text",
  "empty-ns": "list",
  "lazy-pages": "boolean",
  "auto-dedup": "boolean",
} as const;

function entry(command: Command, usage: string, flags: FlagTable = {}, short: Entry["short"] = {}): Entry {
  return { command, usage, flags, short };
}

/** Verbs that are root's alone, for now: criu wants more than a user namespace gives. */
export const FOR_ROOT: ReadonlySet<string> = new Set(["checkpoint", "restore"]);

/** Every command by name, runc's names. */
export const COMMANDS: Readonly<Record<string, Entry>> = {
  create: entry(create, "create [--bundle DIR] ID", MAKE, { b: "bundle" }),
  run: entry(
    run,
    "run [--detach] [--bundle DIR] ID",
    { ...MAKE, detach: "boolean", keep: "boolean", "no-subreaper": "boolean" },
    { b: "bundle", d: "detach" },
  ),
  start: entry(start, "start ID"),
  exec: entry(
    exec,
    "exec [--tty] [--detach] ID COMMAND [ARG…]",
    {
      "console-socket": "text",
      "pid-file": "text",
      cwd: "text",
      env: "list",
      tty: "boolean",
      user: "text",
      "additional-gids": "list",
      process: "text",
      detach: "boolean",
      "process-label": "text",
      apparmor: "text",
      "no-new-privs": "boolean",
      cap: "list",
      "preserve-fds": "text",
      "ignore-paused": "boolean",
      "no-subreaper": "boolean",
    },
    { e: "env", t: "tty", u: "user", g: "additional-gids", p: "process", d: "detach", c: "cap" },
  ),
  state: entry(state, "state ID"),
  kill: entry(kill, "kill [--all] ID [SIGNAL]", { all: "boolean" }, { a: "all" }),
  delete: entry(deleteContainer, "delete [--force] ID", { force: "boolean" }, { f: "force" }),
  list: entry(list, "list [--format table|json]", { format: "text", quiet: "boolean" }, { f: "format", q: "quiet" }),
  ps: entry(ps, "ps [--format table|json] ID [OPTION…]", { format: "text" }, { f: "format" }),
  pause: entry(pause, "pause ID"),
  resume: entry(resume, "resume ID"),
  update: entry(update, "update [--resources FILE] ID", Object.fromEntries(UPDATE.map((name) => [name, "text"])), {
    r: "resources",
  }),
  events: entry(events, "events [--stats] [--interval 5s] ID", { stats: "boolean", interval: "text" }),
  features: entry(features, "features"),
  spec: entry(spec, "spec [--bundle DIR]", { bundle: "text", rootless: "boolean" }, { b: "bundle" }),
  checkpoint: entry(checkpoint, "checkpoint [--image-path DIR] [--leave-running] ID", {
    ...CRIU,
    "leave-running": "boolean",
    "parent-path": "text",
    "pre-dump": "boolean",
    "page-server": "text",
    "status-fd": "text",
  }),
  restore: entry(
    restore,
    "restore [--image-path DIR] [--detach] [--bundle DIR] ID",
    {
      ...CRIU,
      bundle: "text",
      detach: "boolean",
      "pid-file": "text",
      "no-subreaper": "boolean",
      "no-pivot": "boolean",
      "console-socket": "text",
      "lsm-profile": "text",
      "lsm-mount-context": "text",
    },
    { b: "bundle", d: "detach" },
  ),
};
