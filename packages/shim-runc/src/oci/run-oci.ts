import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { COMMANDS, FOR_ROOT } from "./commands/table.ts";
import { type Context, FailedWith } from "./context.ts";
import { type Flags, type FlagTable, parseFlags, UsageError } from "./flags.ts";
import { type ErrorLog, openLog } from "./log.ts";
import { Store } from "./store.ts";

const GLOBAL: FlagTable = {
  root: "text",
  log: "text",
  "log-format": "text",
  "systemd-cgroup": "boolean",
  debug: "boolean",
  rootless: "text",
  criu: "text",
  version: "boolean",
  help: "boolean",
};
const SHORT = { v: "version", h: "help" };
const CACHE = "/run/trimaran-oci-cache";
const FAILED = 1;

/** What `main` brings: everything but what the command line says. */
export type Machine = Omit<Context, "store" | "systemdCgroup" | "warn" | "cacheDirectory"> & {
  readonly version: string;
  /** Where containers are remembered without --root. */
  readonly defaultRoot: string;
  stderr(text: string): void;
};

/** One command line. Resolves with the exit code, and never throws: what went wrong is on stderr, and in --log. */
export async function runOci(words: readonly string[], machine: Machine): Promise<number> {
  let log = openLog(undefined, "text", machine.stderr);
  try {
    const { flags, rest } = parseFlags(words, GLOBAL, SHORT);
    log = openLog(flags.text("log"), toFormat(flags), machine.stderr);
    return await dispatch(flags, rest, machine, log);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    log.write("error", message);
    return error instanceof FailedWith ? error.code : FAILED;
  }
}

async function dispatch(global: Flags, rest: readonly string[], machine: Machine, log: ErrorLog): Promise<number> {
  const [name, ...words] = rest;
  if (global.has("version")) {
    machine.print(`trimaran-oci version ${machine.version}\nspec: 1.3.0\n`);
    return 0;
  }
  if (global.has("help") || name === undefined || name === "help") {
    machine.print(help());
    return 0;
  }
  const entry = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (entry === undefined) throw new UsageError(`no command ${JSON.stringify(name)}; see --help`);
  const { flags, rest: left } = parseFlags(words, { ...entry.flags, help: "boolean" }, { ...entry.short, h: "help" });
  if (flags.has("help")) {
    machine.print(`trimaran oci ${entry.usage}\n`);
    return 0;
  }
  if (machine.caller.kind !== "root" && FOR_ROOT.has(name)) throw new UsageError(`${name}: only root can do that`);
  const store = new Store(global.text("root") ?? machine.defaultRoot);
  const systemdCgroup = global.has("systemd-cgroup");
  if (systemdCgroup && machine.caller.kind !== "root")
    throw new UsageError(
      "--systemd-cgroup: only root can ask systemd for a scope; the user's own systemd is not supported",
    );
  const context = {
    ...machine,
    store,
    systemdCgroup,
    warn: (text: string) => log.write("warning", text),
    cacheDirectory: () => makeCache(machine, store),
  };
  return await entry.command(context, flags, left);
}

/** Root's is one for all its containers; others may write nowhere but below their --root, where `@` is no id's. */
function makeCache({ caller }: Machine, { root }: Store): string {
  const directory = caller.kind === "root" ? CACHE : join(root, "@cache");
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return directory;
}

function toFormat(flags: Flags): "text" | "json" {
  const format = flags.text("log-format") ?? "text";
  if (format === "text" || format === "json") return format;
  throw new UsageError(`--log-format ${JSON.stringify(format)}: text or json`);
}

function help(): string {
  const usages = Object.values(COMMANDS).map(({ usage }) => `  trimaran oci ${usage}\n`);
  return `Example: trimaran oci run --bundle /containers/web web\n\n${usages.join("")}\nGlobal: --root DIR, --log FILE, --log-format text|json, --systemd-cgroup\n`;
}
