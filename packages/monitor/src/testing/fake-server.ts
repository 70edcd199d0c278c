/**
 * A task server of a few lines, started by the real C code (`--serve`, socket on fd 3). Requests say what it should do and where it should die:
 * payload `POINT:…`; it kills (or stops) itself at POINT, the first time only, since a file remembers that it has happened.
 */
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { MonitorLink } from "../monitor-link.ts";
import { serveMonitors } from "../server.ts";
import { data, imm, nr, Program, reg, serveProgram } from "./program.ts";
import { parseRequest, response } from "./ttrpc.ts";

const root = process.env.TRIMARAN_TEST ?? "";
const dir = process.env.TRIMARAN_DIR ?? "";

if (process.argv[2] !== "--serve") {
  console.log(`script: ${process.argv.slice(2).join(" ")}`);
  process.exit(3);
}
if (existsSync(join(root, "mute"))) await new Promise((resolve) => setTimeout(resolve, 1e9));

function die(point: string, wanted: string): void {
  const [at, how] = wanted.split("/");
  const mark = join(root, `died-${at}`);
  if (at !== point || existsSync(mark)) return;
  closeSync(openSync(mark, "w"));
  process.kill(process.pid, how === "stop" ? "SIGSTOP" : "SIGKILL");
  for (const end = Date.now() + 60_000; Date.now() < end; ); // no JavaScript after this point
}

function environment(): string[] {
  const names = [
    "TRIMARAN_STATE",
    "TRIMARAN_DIR",
    "TRIMARAN_CMD",
    "TRIMARAN_SHIM",
    "TRIMARAN_ADDRESS",
    "TRIMARAN_NAMESPACE",
    "TRIMARAN_TEST",
    "PATH",
  ];
  return [
    "TRIMARAN_MONITOR=pod-1",
    "ASAN_OPTIONS=detect_leaks=0",
    ...names.map((name) => `${name}=${process.env[name] ?? ""}`),
  ];
}

/** Appends one byte to ROOT/count: done twice, it would show. */
function countProgram(): Uint8Array {
  const p = new Program();
  p.open(join(root, "count"), 0o2101, 0, 0o600);
  p.sys(nr.write, [reg(0), data(p.text("x")), imm(1)], { dst: 1 });
  p.sys(nr.close, [reg(0)]);
  return p.encode();
}

function exitProgram(status: number, gate: boolean): Uint8Array {
  const p = new Program();
  p.clone();
  if (gate) p.gate();
  p.exec(["/bin/sh", "-c", `printf s >> ${join(root, "started")}; exit ${status}`]);
  return p.encode();
}

async function count(link: MonitorLink, conn: number, stream: number, point: string): Promise<string> {
  if (!link.processes.has("c")) link.spawn("c", { program: exitProgram(0, true) });
  die("frame", point);
  const running = link.run("c", countProgram(), { conn, stream, nth: 1 });
  if (point.startsWith("sent")) await new Promise((resolve) => setTimeout(resolve, 50));
  die("sent", point);
  const { errno } = await running;
  die("result", point);
  return `errno ${errno}, ${readFileSync(join(root, "count"), "utf8").length} times`;
}

/** Spawn `key`, open its gate, answer with its status: the points are those between. */
function runTask(link: MonitorLink, key: string, point: string, answer: (text: string) => void): void {
  die("frame", point);
  const look = (): void => {
    const report = link.processes.get(key);
    if (!report) return;
    if (report.spawned) die("spawned", point);
    if (report.atGate) die("gate", point);
    if (report.atGate && !report.opened) link.openGate(key);
    if (report.execed) die("execed", point);
    if (report.exit) die("exit", point);
    if (report.exit) answer(`status ${report.exit.waitStatus >> 8}`);
  };
  watchers.set(key, look);
  link.spawn(key, { program: exitProgram(17, true) });
}

const watchers = new Map<string, () => void>();
const server = serveMonitors(
  { fd: 3 },
  {
    async start(request) {
      const id = request.argv[request.argv.indexOf("-id") + 1] ?? "";
      if (existsSync(join(root, "slow"))) await new Promise((resolve) => setTimeout(resolve, 6000));
      if (id === "pid")
        return { kind: "print", code: 0, stdout: Buffer.from(`${process.pid}`), stderr: new Uint8Array() };
      if (id === "boom") throw new Error("boom");
      return {
        kind: "serve",
        stdout: Buffer.from("unix:///pod"),
        program: serveProgram(join(root, "pod.sock"), environment(), join(root, "monitor.log")),
      };
    },
    monitor(link) {
      link.onProcess = (report) => watchers.get(report.key)?.();
      link.onFrame = (conn, bytes) => {
        const frame = Buffer.from(bytes);
        const stream = frame.readUInt32BE(4);
        const { method, payload } = parseRequest(frame.subarray(10));
        const answer = (text: string): void => link.send(conn, response(stream, text));
        const text = payload.toString();
        if (method === "Pid") answer(`${process.pid}`);
        else if (method === "Count") void count(link, conn, stream, text).then(answer, () => {});
        else if (method === "Task") runTask(link, "t", text, answer);
        else if (method === "Note") {
          const old = Buffer.from(link.notes.get("n") ?? new Uint8Array()).toString();
          link.note("n", Buffer.from(text));
          answer(old);
        } else if (method === "Wait") {
          const look = (): void => {
            const exit = link.processes.get("w")?.exit;
            if (exit) answer(`status ${exit.waitStatus >> 8}`);
          };
          watchers.set("w", look);
          look();
        } else if (method === "Sleeper") {
          const p = new Program();
          p.clone();
          p.exec(["/bin/sh", "-c", `sleep ${text}; exit 21`]);
          watchers.set("w", () => {
            if (!link.processes.get("w")?.execed) return; // until then the monitor has something to tell
            watchers.delete("w");
            answer("ok");
          });
          link.spawn("w", { program: p.encode() });
        } else if (method === "Close") {
          answer("closing");
          void server.close().then(() => process.exit(0));
        }
      };
    },
  },
);
writeFileSync(join(dir, "ready"), `${process.pid}`);
