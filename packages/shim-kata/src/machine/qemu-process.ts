import { type Cgroup, describeFailure, enterOwnRoot, ignoreSignal, type ProgramBuilder } from "@trimaran/linux";
import {
  describeExit,
  type Host,
  type MonitoredProcess,
  parseStdio,
  planStdio,
  processProgram,
} from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import type { VmPlan } from "../qemu/plan.ts";
import type { VmProcess } from "../qemu/vm.ts";
import { qemuRoot } from "./qemu-root.ts";

// asm-generic: signal.h, fcntl.h, resource.h, sched.h
const SIGKILL = 9;
const SIGXFSZ = 25;
const RLIMIT_FSIZE = 1;
const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_CREAT = 0o100;
const O_TRUNC = 0o1000;
const O_CLOEXEC = 0o2000000;
const CLONE_NEWNET = 0x40000000;
const CLONE_NEWPID = 0x20000000;
const CLONE_NEWIPC = 0x08000000;
const CLONE_NEWUTS = 0x04000000;
const PR_SET_THP_DISABLE = 41; // linux/prctl.h
/** Of QEMU's heap one arena: a second one is a megabyte more. */
const ENVIRONMENT = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "MALLOC_ARENA_MAX=1"];
/** What QEMU says besides the console: beside the console's log. */
const QEMU_LOG = "qemu.log";

/** Where QEMU runs. */
export interface QemuPlace {
  readonly host: Host;
  /** The monitor's key. */
  readonly key: string;
  readonly cgroup: Cgroup;
  /** Path of a network namespace to run in; undefined: a new one, with nothing in it. */
  readonly networkNamespace: string | undefined;
}

/**
 * Run QEMU as a child of the pod's monitor. Resolves once it executes. A key that is known must have been forgotten before. Whoever breaks out of the guest
 * is a process that sees nobody else, without a capability, in a root of its own and in the pod's network.
 */
export async function launchQemu(place: QemuPlace, plan: VmPlan): Promise<VmProcess> {
  const { host, key, cgroup, networkNamespace } = place;
  const { argv, directory, fileLimitBytes } = plan;
  const into = cgroup.unifiedDirectory();
  const program = processProgram({
    process: {
      args: argv,
      env: ENVIRONMENT,
      cwd: directory,
      user: { uid: 0, gid: 0, umask: 0o077, additionalGids: [] },
      rlimits: [
        { name: "RLIMIT_FSIZE", resource: RLIMIT_FSIZE, soft: BigInt(fileLimitBytes), hard: BigInt(fileLimitBytes) },
      ],
      noNewPrivileges: true,
    },
    stdio: planStdio(parseStdio({ stdin: "", stdout: "", stderr: "", terminal: false }), { uid: 0, gid: 0 }).plan,
    cgroup: { attachFiles: cgroup.attachFiles({ clonedIntoUnified: true }), ...(into === undefined ? {} : { into }) },
    gate: false,
    namespaces: CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | (networkNamespace === undefined ? CLONE_NEWNET : 0),
    isPowerless: true,
    setup(builder) {
      ignoreSignal(builder, SIGXFSZ);
      // Huge pages round up what a machine's translations and heap need, by 2 MiB in all, and save no time that we could measure.
      if (plan.isEmulated) builder.sys("prctl", [PR_SET_THP_DISABLE, 1, 0, 0, 0]);
      writeErrorsTo(builder, `${directory}/${QEMU_LOG}`);
      if (networkNamespace !== undefined) joinNetwork(builder, networkNamespace);
      enterOwnRoot(builder, qemuRoot(plan));
    },
  });
  const process = host.launch(key, {
    program: program.bytes,
    describe: (step, errno) => new StatusError(Code.Unavailable, `qemu: ${describeFailure(program, step, errno)}`),
  });
  await process.execed();
  return toVmProcess(host, process);
}

/** The same process, after a restart of the task server. */
export function findQemuProcess(host: Host, key: string): MonitoredProcess {
  return host.find(key, { describe: (_step, errno) => new StatusError(Code.Unavailable, `qemu: errno ${errno}`) });
}

/** SIGKILL, and wait for its end; then the key is free. */
export async function endQemu(host: Host, key: string): Promise<void> {
  if (!host.has(key)) return;
  const process = findQemuProcess(host, key);
  if (!process.hasExited) await host.signal(process, SIGKILL).catch(() => undefined); // it has just ended
  await process.exited();
  host.forget(key);
}

function toVmProcess(host: Host, process: MonitoredProcess): VmProcess {
  return {
    pid: process.pid,
    exited: process.exited().then(({ exit }) => describeExit(exit)),
    kill: () => void host.signal(process, SIGKILL).catch(() => undefined), // it has ended
  };
}

function writeErrorsTo(builder: ProgramBuilder, path: string): void {
  const flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
  const log = builder.call("openat", [AT_FDCWD, builder.data.string(path), flags, 0o600]);
  builder.sys("dup3", [log, 2, 0]);
  builder.release(log);
}

function joinNetwork(builder: ProgramBuilder, path: string): void {
  builder.field = "linux.namespaces network";
  const namespace = builder.call("openat", [AT_FDCWD, builder.data.string(path), O_RDONLY | O_CLOEXEC, 0]);
  builder.sys("setns", [namespace, CLONE_NEWNET]);
  builder.release(namespace);
}
