import { createHash } from "node:crypto";
import { rmSync } from "node:fs";
import { Code, StatusError } from "ttrpc-ts";
import type { Host } from "../host/host.ts";
import type { MonitoredProcess } from "../host/process.ts";
import { newProgram } from "../host/programs.ts";
import type { LoggerFifos } from "./plan.ts";
import { SLOT } from "./slots.ts";
import type { StdioTarget } from "./uris.ts";

type LoggerTarget = Extract<StdioTarget, { kind: "logger" }>;

/** The container that a logger is told of. */
export interface LoggedContainer {
  readonly id: string;
  readonly namespace: string;
  readonly bundle: string;
}

// asm-generic/fcntl.h, linux/stat.h
const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const F_SETFL = 4;
const FIFO_0600 = 0o010600;
const CLONE_ARGS_BYTES = 88;
const SIGTERM = 15;
const SIGKILL = 9;
/** Most loggers end by themselves at the end of file, and don't expect a signal before they have read all. */
const READ_LIMIT_MS = 500;
/** As upstream: a logger has this long to write what it still holds. */
const TERM_LIMIT_MS = 12_000;
const HOLD_SLOTS = [SLOT.loggerHoldStdout, SLOT.loggerHoldStderr] as const;
/** The slots that the child takes over as its fds 3, 4 and 5. */
const CHILD_SLOTS = [0, 1, 2] as const;

/** The monitor's key of a process's logger. */
export function loggerKey(key: string): string {
  return `log/${key}`;
}

/**
 * Start a `binary:` logger and wait until it is ready. It reads the container's output from two FIFOs, as fds 3 and 4, and closes fd 5
 * (or writes to it) when it is ready; its environment is exactly CONTAINER_ID and CONTAINER_NAMESPACE. Throws FailedPrecondition where
 * it does not start or does not get ready. Source: contract, section 5.3.
 */
export async function startLogger(
  host: Host,
  key: string,
  target: LoggerTarget,
  container: LoggedContainer,
): Promise<LoggerFifos> {
  const name = createHash("sha256").update(key).digest("hex").slice(0, 16);
  const fifos = { stdout: `${container.bundle}/.log-${name}-out`, stderr: `${container.bundle}/.log-${name}-err` };
  if (host.has(key)) return fifos; // a replay: it runs, and was ready before anything else was launched
  for (const path of Object.values(fifos)) rmSync(path, { force: true });
  const ready = Promise.withResolvers<"ready" | "closed">();
  const logger = host.launch(key, {
    program: loggerProgram(target, fifos, container),
    watches: [SLOT.watch],
    describe: (_step, errno) =>
      new StatusError(Code.FailedPrecondition, `stdout: logger ${target.path} can't be started (errno ${errno})`),
    onWatch: (_slot, data) => ready.resolve(data.length > 0 ? "ready" : "closed"),
  });
  await logger.execed();
  const outcome = await Promise.race([ready.promise, logger.exited().then(() => "closed" as const)]);
  if (outcome === "closed" && (target.mustReportReady || logger.hasExited)) {
    host.forget(key);
    throw new StatusError(
      Code.FailedPrecondition,
      "logging binary did not call ready (it may have crashed or exited prematurely)",
    );
  }
  return fifos;
}

/** The container's own ends are closed: give end of file, a moment to read what is left, then SIGTERM, and SIGKILL when the time is over. */
export async function endLogger(host: Host, key: string): Promise<void> {
  const logger: MonitoredProcess = host.find(key, { describe: () => new Error("logger failed") });
  await logger.run(endOfFileProgram()).catch(() => undefined); // it has ended
  let moment: NodeJS.Timeout | undefined;
  await Promise.race([logger.exited(), new Promise((resolve) => (moment = setTimeout(resolve, READ_LIMIT_MS)))]);
  clearTimeout(moment);
  const kill = setTimeout(() => void host.signal(logger, SIGKILL).catch(() => undefined), TERM_LIMIT_MS);
  if (!logger.hasExited) await host.signal(logger, SIGTERM).catch(() => undefined); // gone by itself is as good
  await logger.exited();
  clearTimeout(kill);
  host.forget(key);
}

function endOfFileProgram(): Uint8Array {
  const builder = newProgram("logger");
  for (const slot of HOLD_SLOTS) builder.op("DROP", [slot]);
  return builder.build().bytes;
}

function loggerProgram(target: LoggerTarget, fifos: LoggerFifos, container: LoggedContainer): Uint8Array {
  const builder = newProgram("logger");
  const { data } = builder;
  [fifos.stdout, fifos.stderr].forEach((path, index) => {
    builder.sys("mknodat", [AT_FDCWD, data.string(path), FIFO_0600, 0]);
    const reader = builder.call("openat", [AT_FDCWD, data.string(path), O_RDONLY | O_NONBLOCK | O_CLOEXEC, 0]);
    builder.sys("fcntl", [reader, F_SETFL, 0]);
    builder.op("KEEP", [reader, CHILD_SLOTS[index] ?? 0]);
    const writer = builder.call("openat", [AT_FDCWD, data.string(path), O_WRONLY | O_CLOEXEC, 0]);
    builder.op("KEEP", [writer, HOLD_SLOTS[index] ?? 0]);
  });
  const ready = data.space(8);
  builder.sys("pipe2", [ready, O_CLOEXEC]);
  for (const [offset, slot] of [
    [0, SLOT.watch],
    [4, CHILD_SLOTS[2]],
  ] as const) {
    const end = builder.register();
    builder.op("LOAD", [ready.offset + offset, 4], { to: end });
    builder.op("KEEP", [end, slot]);
  }
  builder.op("CLONE", [data.space(CLONE_ARGS_BYTES), 0, 0b111]);
  builder.sys("setsid", []);
  builder.sys("chdir", [data.string(container.bundle)]);
  const nothing = builder.call("openat", [AT_FDCWD, data.string("/dev/null"), O_RDWR | O_CLOEXEC, 0]);
  for (const fd of [0, 1, 2]) builder.sys("dup3", [nothing, fd, 0]);
  // The targets 3 to 5 may be in use by what is to go there: move everything up first.
  const F_DUPFD = 0;
  const high = CHILD_SLOTS.map((index) => builder.call("fcntl", [{ kind: "slot", index }, F_DUPFD, 64]));
  high.forEach((fd, index) => {
    builder.sys("dup3", [fd, 3 + index, 0]);
  });
  builder.op("CLOSE", [data.halves([3, 4, 5]), 3]);
  const argv = data.pointers([target.path, ...target.args].map((word) => data.string(word)));
  const env = [`CONTAINER_ID=${container.id}`, `CONTAINER_NAMESPACE=${container.namespace}`];
  builder.op("EXEC", [
    data.string(target.path),
    argv,
    data.pointers(env.map((entry) => data.string(entry))),
    AT_FDCWD,
    0,
  ]);
  return builder.build().bytes;
}
