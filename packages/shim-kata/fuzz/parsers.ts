import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InvalidSpec, parseSpec } from "@trimaran/linux";
import { ANY, GreetingFinder, greetingReply, io, runtimeoptions, WireError } from "@trimaran/proto";
import { Logger } from "@trimaran/shim-core";
import { encodeFrame, StatusError } from "ttrpc-ts";
import { AgentConnection } from "../src/agent/connection.ts";
import { guestText } from "../src/agent/guest-text.ts";
import { parseConfig } from "../src/config/config.ts";
import { checkStats } from "../src/container/stats.ts";
import { readLastWords } from "../src/qemu/console.ts";
import { Qmp, QmpError } from "../src/qemu/qmp.ts";
import { toGuestSpec } from "../src/storage/guest-spec.ts";
import { GUEST_SHARE } from "../src/storage/layout.ts";
import { GUEST_SHM, isBind, planVolumes } from "../src/storage/volumes.ts";

const isStatus = (error: unknown) => error instanceof StatusError;
const folder = mkdtempSync(join(tmpdir(), "fuzz-kata-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

/** Keys that choose what runs as root: no annotation may set one, whatever the operator's patterns say. */
const PATHS = ["qemuPath", "accelerator", "ownImage"] as const;

/** The file and the annotations of a pod, with a NUL between, `NAME=VALUE` a line. */
function config(input: Buffer): void {
  const [toml = "", lines = ""] = input.toString().split("\0");
  const value = runtimeoptions.v1.Options.encode({ configBody: Buffer.from(toml) });
  const options = [{ typeUrl: ANY.runtimeOptions, value }];
  const annotations = Object.fromEntries(
    lines.split("\n").map((line) => [line.split("=", 1)[0] ?? "", line.slice(line.indexOf("=") + 1)]),
  );
  const file = parseConfig(options, {}, []);
  const pod = parseConfig(options, annotations, []);
  for (const key of PATHS)
    if (JSON.stringify(pod[key]) !== JSON.stringify(file[key])) throw new TypeError(`an annotation has set ${key}`);
}

/** What the host's parser accepts is a spec for the guest whose paths are below the share, or it is refused by field. */
function guestSpec(input: Buffer): void {
  const spec = parseSpec(input);
  const json = JSON.parse(input.toString());
  const guest = toGuestSpec(json, { id: "web", disks: [], volumes: planVolumes(spec.mounts), podPid: 7 });
  const { root, mounts, linux } = guest as never as {
    root: { path: string };
    mounts: { type?: string; source?: string; options?: string[] }[];
    linux: { namespaces: { type: string; path?: string }[] };
  };
  if (root.path !== `${GUEST_SHARE}/web/rootfs`) throw new TypeError(root.path);
  for (const { type = "", source = "", options } of mounts)
    if (
      isBind(type ?? "", options ?? []) &&
      source !== GUEST_SHM &&
      !/^\/run\/trimaran\/shared\/web\/\d+$/.test(source)
    )
      throw new TypeError(`a bind of ${source}`);
  for (const { path } of linux.namespaces)
    if (path !== undefined && !/^\/proc\/7\/ns\/(ipc|uts|pid)$/.test(path)) throw new TypeError(path);
}

const SPEC = {
  ociVersion: "1.0.2",
  root: { path: "rootfs" },
  process: { args: ["sh"], cwd: "/", user: { uid: 0, gid: 0 } },
  mounts: [
    { destination: "/data", type: "bind", source: "/srv", options: ["rbind", "ro"] },
    { destination: "/dev/shm", type: "bind", source: "/run/shm", options: ["rbind"] },
    { destination: "/proc", type: "proc", source: "proc" },
  ],
  linux: {
    namespaces: [{ type: "network", path: "/run/netns/x" }, { type: "pid", path: "/proc/5/ns/pid" }, { type: "mount" }],
    devices: [{ path: "/dev/null", type: "c", major: 1, minor: 3 }],
    resources: { memory: { limit: 1024 }, devices: [{ allow: false }] },
  },
};

/** A console's end is printable, short, and no more than some lines. */
function lastWords(input: Buffer): void {
  const path = join(folder, "console.log");
  writeFileSync(path, input);
  const { reason, lines } = readLastWords(path);
  for (const line of [...lines, reason ?? ""])
    if (!/^[ -~]*$/.test(line) || line.length > 200) throw new TypeError(JSON.stringify(line));
  if (lines.length > 12) throw new TypeError(`${lines.length} lines`);
}

function text(input: Buffer): void {
  const told = guestText(input.toString("latin1"));
  for (const character of told) if (character < " ") throw new TypeError(JSON.stringify(told));
  if (told.length > 1001) throw new TypeError(`${told.length} characters`);
}

/** A server on a socket that does what it is told with each connection. */
function peer(name: string, meet: (socket: Socket) => void): { readonly path: string; readonly ready: Promise<void> } {
  const path = join(folder, name);
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    meet(socket);
  });
  server.unref();
  return { path, ready: new Promise((resolve) => server.listen(path, resolve)) };
}

let said: Buffer = Buffer.alloc(0);
/** After that it is gone, whatever it has not said. */
const PATIENCE_MS = 1000;
/** QEMU in the hands of a guest: it says a line of these bytes at first, and one for each command. */
const qemu = peer("qmp.sock", (socket) => {
  const lines = said.toString("latin1").split("\n");
  const next = (): void => {
    const line = lines.shift();
    if (line === undefined) socket.end();
    else socket.write(`${line}\n`, "latin1");
  };
  socket.on("data", next);
  setTimeout(() => socket.end(), PATIENCE_MS);
  next();
});
/** The agent, likewise, behind a greeting that is right: it says all of it for each request. */
const agent = peer("agent.sock", (socket) => {
  const finder = new GreetingFinder("host");
  const greet = (chunk: Uint8Array): void => {
    const found = finder.push(chunk);
    if (!found) return;
    socket.off("data", greet).on("data", () => socket.write(said));
    socket.write(greetingReply(found.nonce));
  };
  socket.on("data", greet);
  setTimeout(() => socket.end(), PATIENCE_MS);
});

/** A command has an answer, or its end: and no listener throws. */
async function qmp(input: Buffer): Promise<void> {
  await qemu.ready;
  said = input;
  const limit = AbortSignal.timeout(5000);
  using opened = await Qmp.open(qemu.path, limit);
  using _ = opened.listen(({ name }) => void name.length);
  await opened.execute("query-status");
}

/** A call ends: with an answer, or as a guest that is not there. */
async function conversation(input: Buffer): Promise<void> {
  await agent.ready;
  said = input;
  const connection = new AgentConnection({
    path: agent.path,
    log: new Logger(() => undefined),
    watchdogLimitMs: PATIENCE_MS,
  });
  try {
    await connection.call(({ agent: services }) => services.inspectProcess({ id: "a" }), { limitMs: PATIENCE_MS });
  } finally {
    connection.close("enough");
  }
}

const HELLO = Buffer.from([0x08, 2]);
/** ttrpc's Response with a payload, for the stream that asks first. */
const answer = (streamId: number, payload: Uint8Array) =>
  encodeFrame({ streamId, type: 2, flags: 0, payload: Buffer.concat([Buffer.from([0x12, payload.length]), payload]) });
const QMP = [
  '{"QMP":{"version":{}}}',
  '{"return":{},"id":1}',
  '{"return":{"a":1},"id":2}',
  '{"event":"STOP","data":{}}',
];
const metrics = io.containerd.cgroups.v2.Metrics.encode({ pids: { current: 5 }, memory: { usage: 7 } });

/** Everything here that reads what an operator, a pod's author, a guest or a QEMU in a guest's hands brings. */
export const parsers = [
  {
    name: "kata-config",
    seeds: [
      '[hypervisor.qemu]\ndefault_vcpus = 2\nenable_annotations = [".*"]\n\0io.katacontainers.config.hypervisor.default_memory=512',
      "[factory]\nenable_template = false\n[agent.kata]\ndial_timeout = 5\n\0io.katacontainers.config.agent.dial_timeout=9\na=b",
      '[hypervisor.qemu]\nkernel = "/k"\ninitrd = "/i"\nimage = "/d"\nvirtio_fs_extra_args = ["-o", "x"]\n\0',
    ],
    run: config,
    expects: isStatus,
  },
  {
    name: "guest-spec",
    seeds: [JSON.stringify(SPEC)],
    run: guestSpec,
    expects: (error: unknown) => error instanceof InvalidSpec,
  },
  {
    name: "guest-console",
    seeds: ["[    0.1] Kernel panic - not syncing: no init\r\n\u001b[31minit: gone\n", "x\n".repeat(40)],
    run: lastWords,
    expects: () => false,
  },
  { name: "guest-text", seeds: ["an error\n", "\u001b[2J\u202e"], run: text, expects: () => false },
  {
    name: "guest-stats",
    seeds: [metrics],
    run: (input: Buffer) => checkStats({ typeUrl: ANY.cgroupV2Metrics, value: input }),
    expects: (error: unknown) => error instanceof WireError,
  },
  {
    name: "qmp",
    seeds: [QMP.join("\n"), '{"QMP":{}}\n{"error":{"class":"GenericError","desc":"no"},"id":1}\n'],
    run: qmp,
    expects: (error: unknown) => isStatus(error) || error instanceof QmpError,
  },
  {
    name: "agent-conversation",
    seeds: [Buffer.concat([answer(1, HELLO), answer(3, Buffer.from([0x08, 7]))]), answer(1, Buffer.from([0x08, 9]))],
    run: conversation,
    expects: isStatus,
  },
];
