import { execFile } from "node:child_process";
import { access, constants, readdir, readFile, readlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Check } from "./check.ts";

const GROUP = "containerd";
const ASK_LIMIT_MS = 5000;
const DEFAULT_CONFIG = "/etc/containerd/config.toml";

/** A containerd that runs. */
export interface RunningContainerd {
  readonly pid: number;
  readonly binary: string;
  readonly path: string;
  /** Its configuration file, which need not exist. */
  readonly config: string;
}

/** The containerds that run, and the one that is installed: their versions, and whether they would find our shims and CRI handlers for them. */
export async function checkContainerd(shims: readonly string[], binDirectory: string): Promise<Check[]> {
  const running = await findRunning();
  const installed = await versionOf("containerd");
  if (running.length === 0 && installed === undefined)
    return [
      {
        group: GROUP,
        name: "containerd",
        status: "note",
        found: "none",
        fix: "not needed: `trimaran run` works without one",
      },
    ];
  const idle: Check[] =
    running.length > 0 || installed === undefined
      ? []
      : [
          {
            group: GROUP,
            name: "containerd",
            status: "note",
            found: `${installed}, does not run`,
            fix: "systemctl start containerd, if you want it",
          },
        ];
  const checks = await Promise.all(running.map((each) => checkDaemon(each, shims, binDirectory)));
  return [...idle, ...checks.flat()];
}

/** One daemon. */
export async function checkDaemon(
  daemon: RunningContainerd,
  shims: readonly string[],
  binDirectory: string,
): Promise<Check[]> {
  const { pid, binary, path, config } = daemon;
  const name = `pid ${pid}`;
  const version = (await versionOf(binary)) ?? "version unknown";
  const seen = await Promise.all(shims.map((shim) => isSeen(shim, [...path.split(":"), dirname(binary)])));
  const unseen = shims.filter((_, i) => seen[i] === false);
  const handlers = await handlersOf(config);
  const missing = shims.filter((shim) => !handlers.has(runtimeType(shim)));
  const where = binDirectory.endsWith("/build/bin") ? "trimaran install" : `add ${binDirectory} to PATH of its unit`;
  return [
    { group: GROUP, name, status: "ok", found: `${version}, ${binary}` },
    unseen.length === 0
      ? { group: GROUP, name: `${name}: shims`, status: "ok", found: `all ${shims.length} in its PATH` }
      : {
          group: GROUP,
          name: `${name}: shims`,
          status: "problem",
          found: `not in its PATH: ${unseen.join(", ")}`,
          fix: where,
        },
    missing.length === 0
      ? { group: GROUP, name: `${name}: CRI handlers`, status: "ok", found: `all in ${config}` }
      : {
          group: GROUP,
          name: `${name}: CRI handlers`,
          status: "note",
          found: `${config} has none for ${missing.map(runtimeType).join(", ")}`,
          fix: `for Kubernetes: trimaran install --containerd-config ${config}, and restart it`,
        },
  ];
}

/** `containerd-shim-NAME-vN` is of the type `io.containerd.NAME.vN`. */
function runtimeType(shim: string): string {
  return `io.containerd.${shim.replace(/^containerd-shim-/, "").replace(/-(v\d+)$/, ".$1")}`;
}

async function isSeen(shim: string, directories: readonly string[]): Promise<boolean> {
  for (const directory of directories) {
    try {
      await access(join(directory, shim), constants.X_OK);
      return true;
    } catch {
      // the next one
    }
  }
  return false;
}

async function handlersOf(config: string): Promise<ReadonlySet<string>> {
  const text = await readFile(config, "utf8").catch(() => "");
  return new Set([...text.matchAll(/^[^#\n]*\bruntime_type\s*=\s*["']([^"']+)["']/gm)].map(([, type = ""]) => type));
}

async function findRunning(): Promise<RunningContainerd[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const found = await Promise.all(pids.map((pid) => lookAt(pid).catch(() => undefined))); // it has ended, or is not ours to see
  return found.filter((each) => each !== undefined);
}

async function lookAt(pid: number): Promise<RunningContainerd | undefined> {
  const of = (file: string) => readFile(`/proc/${pid}/${file}`, "utf8");
  if ((await of("comm")).trim() !== "containerd") return undefined;
  const argv = (await of("cmdline")).split("\0");
  const environment = (await of("environ")).split("\0");
  const path = environment.find((entry) => entry.startsWith("PATH="))?.slice(5) ?? "";
  const given = argv.flatMap((word, i) =>
    /^-{1,2}c(onfig)?$/.test(word) ? [argv[i + 1] ?? ""] : (/^--?c(?:onfig)?=(.*)$/.exec(word)?.[1] ?? []),
  );
  const config = given[0] === undefined ? DEFAULT_CONFIG : resolve(await readlink(`/proc/${pid}/cwd`), given[0]);
  return { pid, binary: await readlink(`/proc/${pid}/exe`), path, config };
}

/** `1.6.20~ds1`; undefined where there is none that answers. */
function versionOf(binary: string): Promise<string | undefined> {
  return new Promise((done) => {
    execFile(binary, ["--version"], { timeout: ASK_LIMIT_MS }, (error, stdout) =>
      done(error ? undefined : stdout.trim().split(" ")[2]),
    );
  });
}
