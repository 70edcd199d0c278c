import { chmodSync, mkdirSync, writeSync } from "node:fs";
import { flushCompileCache, getCompileCacheDir } from "node:module";
import { join } from "node:path";
import { lazyNative, sealedCopy } from "@trimaran/linux";
import { parseShimArguments } from "./bootstrap/arguments.ts";
import { encodeInfo } from "./bootstrap/info.ts";
import { leavePodCookie } from "./host/core-scheduling.ts";
import { refuseDumps } from "./host/harden.ts";
import { Logger } from "./log.ts";
import { MetricsFile } from "./metrics/metrics-file.ts";
import { serveMetrics } from "./metrics/serve-metrics.ts";
import { TaskMetrics } from "./metrics/task-metrics.ts";
import type { Runtime } from "./runtime.ts";
import { serveTasks } from "./server.ts";

/** The process that a shim's script runs in. Built once, in `main.ts`. */
export interface ShimProcess {
  readonly argv: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly pid: number;
  readonly exit: (code: number) => never;
  /** The installed layout's `lib/trimaran` folder; the monitor binary is `../../bin/NAME`. */
  readonly libraryDirectory: string;
}

/**
 * A shim's whole main: `--serve` is the task server, `-info` and `-v` answer and end. The monitor binary execs this script; nobody else
 * needs to.
 */
export function runShim(runtime: Runtime, process: ShimProcess): void {
  const argv = process.argv.slice(2);
  if (argv[0] === "--serve") {
    serve(runtime, process);
    return;
  }
  try {
    const args = parseShimArguments(argv);
    if (args.info) writeSync(1, encodeInfo(runtime));
    else if (args.version)
      writeSync(
        1,
        `${runtime.name}:\n  Version:  ${runtime.version}\n  Node version: ${globalThis.process.version}\n\n`,
      );
    else {
      writeSync(2, `${USAGE}${args.action === "" ? "" : `\nunknown command ${JSON.stringify(args.action)}\n`}`);
      process.exit(1);
    }
  } catch (error) {
    writeSync(2, `${runtime.name}: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}

const USAGE = `containerd runs this program; to try it by hand:
  ctr run --rm --runtime NAME IMAGE ID COMMAND

  -namespace NS -id ID -address SOCKET -publish-binary PATH start     become or join the pod's shim
  -namespace NS -id ID -address SOCKET -bundle DIR delete             end a container and take away what it left
  -info                                                               describe the runtime (protobuf)
  -v                                                                  print the version
`;

function serve(runtime: Runtime, process: ShimProcess): void {
  const { env } = process;
  const required = (name: string): string => {
    const value = env[name];
    if (value === undefined) throw new Error(`environment: ${name} is missing; the monitor sets it`);
    return value;
  };
  const shimName = required("TRIMARAN_SHIM");
  const directory = required("TRIMARAN_DIR");
  const stateDirectory = env.TRIMARAN_STATE ?? "/run/trimaran";
  const cacheDirectory = join(stateDirectory, "cache");
  mkdirSync(cacheDirectory, { recursive: true, mode: 0o700 });
  const native = lazyNative();
  refuseDumps(native);
  leavePodCookie(native, process.pid);
  const image = sealedCopy(native, join(process.libraryDirectory, "../../bin", shimName), "trimaran");
  // a task server that a monitor starts is to be like this one: finds the same programs, goes after the same time
  const inherited = ["PATH", "TRIMARAN_IDLE_MS"].filter((name) => env[name] !== undefined);
  const names = ["TRIMARAN_ADDRESS", "TRIMARAN_NAMESPACE", "TRIMARAN_CMD", ...inherited];
  const passed = names.map((name) => [name, env[name] ?? ""]);
  const metrics = new TaskMetrics();
  const labels = {
    runtime: runtime.name,
    namespace: env.TRIMARAN_NAMESPACE ?? "",
    containerd: env.TRIMARAN_ADDRESS ?? "",
  };
  const file = new MetricsFile(directory, labels, metrics);
  metrics.serverStarted();
  file.keepStarts();
  const metricsSocket = serveMetrics(directory, () => file.report());
  const end = () => {
    file.keepAll();
    metricsSocket[Symbol.dispose]();
    process.exit(0);
  };
  const server = serveTasks(runtime, {
    listen: { fd: 3 },
    native,
    monitorImage: `/proc/${process.pid}/fd/${image}`,
    shimName,
    stateDirectory,
    cacheDirectory,
    monitorEnvironment: {
      ...Object.fromEntries(passed),
      TRIMARAN_DIR: directory,
      TRIMARAN_STATE: stateDirectory,
      TRIMARAN_SHIM: shimName,
    },
    log: new Logger((line) => void writeSync(1, line), { debug: env.TRIMARAN_DEBUG === "1" }),
    metrics,
    onRestart: () => {
      if (file.followsSleep) return;
      metrics.serverRestarted();
      file.keepStarts();
    },
    idleMs: parseIdleMs(env.TRIMARAN_IDLE_MS),
    onIdle: end,
  });
  keepCode();
  globalThis.process.once("SIGTERM", () => void server.leave().finally(end));
}

/** Compiled code goes where the monitor has told Node. What Node makes there is for all to read; nothing of ours is. */
function keepCode(): void {
  const folder = getCompileCacheDir();
  if (folder === undefined) return;
  chmodSync(folder, 0o700);
  setTimeout(flushCompileCache, KEEP_CODE_MS).unref();
}

/** By then most of what a server runs is compiled: what is written then is what the next one needn't compile. Nothing is written where all was read. */
const KEEP_CODE_MS = 3000;
const IDLE_MS = 60_000;
const LONGEST_IDLE_MS = 86_400_000;

/** TRIMARAN_IDLE_MS: 0 is never. Anything but a number of milliseconds, up to a day, is the default: a server must start. */
function parseIdleMs(text: string | undefined): number {
  const ms = Number(text ?? IDLE_MS);
  return Number.isInteger(ms) && ms >= 0 && ms <= LONGEST_IDLE_MS ? ms : IDLE_MS;
}
