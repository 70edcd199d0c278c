/**
 * A shim that stands in front of a real one and breaks the contract in a way of its own: for the test that each check can fail.
 *
 *     BROKEN=NAME REAL_SHIM=PATH SOCKETS=FILE node broken-shim.js -namespace … start
 *
 * Paths of all sockets that it has a part in go into FILE: the checker cannot know them, to take them away.
 */
import { spawn, spawnSync } from "node:child_process";
import { appendFileSync, existsSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { connectUnix } from "ttrpc-ts";
import { socketPath } from "../host/belongings.ts";
import { parseReply } from "../shim/start.ts";
import { BREAKAGES } from "./breakages.ts";
import { serveProxy } from "./proxy.ts";

const REAL = process.env.REAL_SHIM ?? "";
const hooks = BREAKAGES[process.env.BROKEN ?? ""]?.hooks ?? {};
const argv = process.argv.slice(2);

/** The value of a flag in any of Go's forms. */
function flag(name: string): string {
  for (const [at, word] of argv.entries()) {
    const [, key, , value] = /^--?([a-z-]+)(=(.*))?$/s.exec(word) ?? [];
    if (key === name) return value ?? argv[at + 1] ?? "";
  }
  return "";
}

/** The real shim has an address of its own, so that its sockets are not ours. */
function realArgv(): string[] {
  return argv.flatMap((word, at) => {
    if (/^--?address=/.test(word)) return [`${word}.real`];
    return /^--?address$/.test(argv[at - 1] ?? "") ? [`${word}.real`] : [word];
  });
}

function groupOf(id: string): string {
  try {
    const config = JSON.parse(readFileSync("config.json", "utf8"));
    return config.annotations?.["io.kubernetes.cri.sandbox-id"] ?? id;
  } catch {
    return id;
  }
}

function readStdin(): Buffer {
  try {
    return readFileSync(0);
  } catch {
    return Buffer.alloc(0);
  }
}

async function listens(path: string): Promise<boolean> {
  return await connectUnix(path).then(
    (channel) => {
      channel.close();
      return true;
    },
    () => false,
  );
}

async function start(): Promise<number> {
  const { start: broken = {} } = hooks;
  const [namespace, id] = [flag("namespace"), flag("id")];
  const socket = socketPath(
    flag("address"),
    namespace,
    broken.ignoresOthers === true ? `${id}-${process.pid}` : groupOf(id),
  );
  const lock = `${socket}.lock`;
  while (!takeLock(lock)) await delay(10);
  try {
    const events = `${flag("address")}.${groupOf(id)}.events`;
    const env = { ...process.env, TTRPC_ADDRESS: events, ...broken.env };
    const input = broken.stdin?.(readStdin()) ?? readStdin();
    if (broken.refusesOldSocket === true && existsSync(socket) && !(await listens(socket)))
      throw new Error("address in use");
    const real = spawnSync(REAL, broken.flags?.(realArgv()) ?? realArgv(), { env, input });
    if (real.status !== 0) {
      process.stderr.write(`${real.stdout}${real.stderr}`);
      return broken.swallowsFailure === true ? 0 : (real.status ?? 1);
    }
    const reply = parseReply(real.stdout);
    appendFileSync(process.env.SOCKETS ?? "/dev/null", `${socket}\n${reply.address.replace(/^unix:\/\//, "")}\n`);
    if (!(await listens(socket))) {
      rmSync(socket, { force: true });
      await startDaemon(socket, reply.address, events);
    }
    const ours = replaced(real.stdout, reply.address, `unix://${socket}`);
    if (existsSync("address")) writeFileSync("address", `unix://${socket}`);
    if (broken.removesAddressFile === true) rmSync("address", { force: true });
    if (broken.stderr !== undefined) process.stderr.write(broken.stderr);
    process.stdout.write(broken.stdout?.(ours, `unix://${socket}`) ?? ours);
    return 0;
  } finally {
    rmSync(lock, { force: true });
  }
}

function takeLock(path: string): boolean {
  try {
    writeFileSync(path, "", { flag: "wx" });
    return true;
  } catch {
    return false;
  }
}

/** Both addresses are of one length, so this is right for protobuf, too. */
function replaced(reply: Buffer, from: string, to: string): Buffer {
  const at = reply.indexOf(from);
  return Buffer.concat([reply.subarray(0, at), Buffer.from(to), reply.subarray(at + from.length)]);
}

async function startDaemon(socket: string, real: string, events: string): Promise<void> {
  const { start: broken = {}, daemon = {} } = hooks;
  const output = broken.holdsPipes === true ? "inherit" : "ignore";
  const log = openSync("log", "r+"); // both ends, or it would wait for a reader
  const serve = [
    process.argv[1] ?? "",
    "-id",
    flag("id"),
    "-namespace",
    flag("namespace"),
    "-address",
    flag("address"),
    "serve",
  ];
  const child = spawn(process.execPath, serve, {
    stdio: ["ignore", output, log],
    detached: daemon.isInGroup !== true,
    env: { ...process.env, SERVE: JSON.stringify({ socket, real, events, forward: process.env.TTRPC_ADDRESS }) },
  });
  child.unref();
  while (!(await listens(socket))) await delay(5);
}

async function remove(): Promise<number> {
  const { delete: broken = {} } = hooks;
  await delay(broken.delayMs ?? 0);
  const id = flag("id");
  if (broken.holdsPipes === true)
    spawn("sleep", ["3"], { stdio: ["ignore", "inherit", "inherit"], detached: true }).unref();
  if (broken.fails === true) {
    process.stderr.write("delete: broken\n");
    return 1;
  }
  const socket = socketPath(flag("address"), flag("namespace"), groupOf(id));
  const boot = readIfThere("bootstrap.json");
  const address = readIfThere("address");
  const realSocket = socketPath(`${flag("address")}.real`, flag("namespace"), groupOf(id));
  if (address !== undefined) writeFileSync("address", `unix://${realSocket}`);
  if (boot !== undefined) writeFileSync("bootstrap.json", boot.replace(/\/run\/containerd\/s\/\w+/, realSocket));
  const real =
    broken.isNothing === true ? { status: 0, stdout: Buffer.alloc(0), stderr: "" } : spawnSync(REAL, realArgv());
  if (address !== undefined) writeFileSync("address", address);
  if (boot !== undefined) writeFileSync("bootstrap.json", boot);
  if (broken.keepsSocket !== true && !(await listens(socket))) rmSync(socket, { force: true });
  if (broken.keepsSocket === true) writeFileSync(socket, "");
  process.stdout.write(broken.stdout?.(real.stdout) ?? real.stdout);
  process.stderr.write(real.stderr);
  return real.status ?? 1;
}

function readIfThere(path: string): string | undefined {
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

async function inform(word: string): Promise<number> {
  const real = spawnSync(REAL, argv, { input: word === "-info" ? readStdin() : "" });
  process.stdout.write((await hooks.info?.(real.stdout, word)) ?? real.stdout);
  process.stderr.write(real.stderr);
  return real.status ?? 1;
}

const action = argv.at(-1) ?? "";
if (action === "serve") await serveProxy(JSON.parse(process.env.SERVE ?? ""), hooks);
else if (action === "start") process.exitCode = await start();
else if (action === "delete") process.exitCode = await remove();
else process.exitCode = await inform(action);
