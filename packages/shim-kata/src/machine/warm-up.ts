import { describeFailure, parseSpec } from "@trimaran/linux";
import type { AgentConnection } from "../agent/connection.ts";
import type { GuestMonitor } from "../exec/guest-monitor.ts";
import { compileGuestExec, toldSlots } from "../exec/program.ts";
import { GUEST_SHARE } from "../storage/layout.ts";

const ID = "warm-up";
const EXEC = "exec";
/** The first of them takes twice as long as those after it. */
const EXECS = 4;
/** No secret: each clone gets its own. */
const ENTROPY = Buffer.alloc(32, 1);
const LIMIT_MS = 120_000;

/**
 * Have the agent run a container and an exec once, in the machine that becomes a template: what it loads and compiles for the first one (koffi, the compiler of
 * launch programs) is then in every clone. The same for the monitor that runs execs. The container is gone afterwards, and nothing of it is secret.
 */
export async function warmUp(agent: AgentConnection, execs: GuestMonitor): Promise<void> {
  const limit = { limitMs: LIMIT_MS };
  const main = { id: ID, execId: "" };
  const exec = { id: ID, execId: EXEC };
  const streams = { stdin: true, stdout: true, stderr: true };
  const rootfs = [{ type: "bind", source: "/", target: "", options: ["rbind", "ro"] }];
  await agent.call(({ agent: a }, o) => a.refresh({ entropy: ENTROPY, hostname: ID }, o), limit);
  await agent.call(({ agent: a }, o) => a.configureNetwork({}, o), limit);
  const wanted = { id: ID, spec: SPEC, rootfs, ...streams };
  const { pid } = await agent.call(({ agent: a }, o) => a.createContainer(wanted, o), limit);
  await agent.call(({ agent: a }, o) => a.startProcess(main, o), limit);
  for (let i = 0; i < EXECS; i++) {
    const process = processOf(["true"]);
    await agent.call(
      ({ agent: a }, o) => a.addExec({ ...exec, process, ...streams, fresh: true, start: true }, o),
      limit,
    );
    await agent.call(({ agent: a }, o) => a.waitProcess(exec, o), limit);
  }
  for (let i = 0; i < EXECS; i++) await execDirectly(execs, pid);
  await agent.call(({ tasks }, o) => tasks.stats({ id: ID }, o), limit);
  await agent.call(({ agent: a }, o) => a.signalProcess({ ...main, signal: 9, all: false, once: "" }, o), limit);
  await agent.call(({ agent: a }, o) => a.waitProcess(main, o), limit);
  await agent.call(({ agent: a }, o) => a.readOutput({ ...main, stream: 1, offset: 0, maxBytes: 1 }, o), limit);
  await agent.call(({ agent: a }, o) => a.deleteProcess(main, o), limit);
  // the last: it hangs for whoever looks into it
  await agent.call(({ agent: a }, o) => a.mountShare({ target: GUEST_SHARE, ahead: true }, o), limit);
}

async function execDirectly(execs: GuestMonitor, initPid: number): Promise<void> {
  const stdio = { stdin: "", stdout: "out", stderr: "", terminal: false };
  const spec = parseSpec(Buffer.from(SPEC).toString());
  const program = compileGuestExec({ id: ID, spec, initPid, process: processOf(["true"]), stdio });
  const entry = execs.launch(EXEC, program.bytes, toldSlots(stdio));
  const { failure } = await entry.reported(({ exit, failure }) => exit !== undefined || failure !== undefined);
  if (failure) throw new Error(`warm-up: ${describeFailure(program, failure.step, failure.errno)}`);
  execs.forget(EXEC);
}

function processOf(args: readonly string[]): Uint8Array {
  return Buffer.from(JSON.stringify(toProcess(args)));
}

function toProcess(args: readonly string[]) {
  return { args: ["/bin/busybox", ...args], cwd: "/", env: ["PATH=/bin"], user: { uid: 0, gid: 0 } };
}

const SPEC = Buffer.from(
  JSON.stringify({
    ociVersion: "1.0.2",
    process: toProcess(["sleep", "1000"]),
    root: { path: "rootfs" },
    mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
    linux: {
      cgroupsPath: `/${ID}`,
      namespaces: ["pid", "mount", "ipc", "uts"].map((type) => ({ type })),
      resources: { devices: [{ allow: false, access: "rwm" }] },
    },
  }),
);
