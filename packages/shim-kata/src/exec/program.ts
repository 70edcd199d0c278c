import {
  compileExec,
  type HostFeatures,
  type Program,
  type ProgramBuilder,
  parseExecProcess,
  type Spec,
  type StdioPlan,
} from "@trimaran/linux";
import { SLOT, type StdioUris } from "@trimaran/shim-core";

// asm-generic/fcntl.h
const AT_FDCWD = -100;
const O_RDONLY = 0;
const O_WRONLY = 1;
const O_CLOEXEC = 0o2000000;

/** The guest that programs are compiled for. They need nothing that is younger than its kernel. */
export const GUEST: HostFeatures = {
  architecture: "x86_64",
  kernel: [6, 1],
  kcore: true,
  selinux: false,
  inUserNamespace: false,
  namespaceInodes: { network: 0, ipc: 0, uts: 0, user: 0 },
};
const EBUSY = 16;
const CGROUPS = "/sys/fs/cgroup";

/** An exec of a container in the guest. */
export interface GuestExec {
  readonly id: string;
  /** The container's, as its guest has it. */
  readonly spec: Spec;
  /** Pid of the container's init in the guest. */
  readonly initPid: number;
  /** OCI process, of the guest, untrusted. */
  readonly process: Uint8Array;
  readonly stdio: StdioUris;
}

/** Slots whose bytes are wanted on the host. */
export function toldSlots({ stdout, stderr }: StdioUris): number[] {
  return [...(stdout === "" ? [] : [SLOT.stdoutSource]), ...(stderr === "" ? [] : [SLOT.stderrSource])];
}

/** Whether the guest's monitor can run it by itself: input and terminals are the agent's. */
export function isDirect({ stdin, terminal }: StdioUris): boolean {
  return stdin === "" && !terminal;
}

/**
 * Whether it failed because the container has handed its cgroup's controllers on, to cgroups inside it: then the kernel takes no process into that itself, and the agent looks where
 * init is. Source: Linux, cgroup-v2.rst, "No Internal Process Constraint".
 */
export function isForAgent({ errno }: { readonly errno: number }): boolean {
  return errno === EBUSY;
}

/** Where a cgroup of the guest is. */
export function cgroupDirectory(path: string): string {
  return `${CGROUPS}${path}`;
}

/** Compile an exec for the guest's monitor. Throws InvalidSpec. */
export function compileGuestExec({ id, spec, initPid, process, stdio }: GuestExec): Program {
  return compileExec({
    id,
    spec,
    process: { ...parseExecProcess(process), terminal: false },
    init: { pid: initPid },
    stdio: planPipes(stdio),
    cgroup: { attachFiles: [], into: cgroupDirectory(spec.linux.cgroupsPath ?? "") },
    host: GUEST,
  });
}

/** Pipes whose other ends stay with the monitor; what is not wanted goes to /dev/null. `openStdin`: leaves the process's input in its slot; default: /dev/null. */
export function planPipes({ stdout, stderr }: StdioUris, openStdin?: (builder: ProgramBuilder) => void): StdioPlan {
  return {
    kind: "slots",
    stdin: SLOT.childStdin,
    stdout: SLOT.childStdout,
    stderr: SLOT.childStderr,
    prelude(builder) {
      if (openStdin) openStdin(builder);
      else openNull(builder, O_RDONLY, SLOT.childStdin);
      output(builder, stdout, SLOT.childStdout, SLOT.stdoutSource);
      output(builder, stderr, SLOT.childStderr, SLOT.stderrSource);
    },
  };
}

function output(builder: ProgramBuilder, uri: string, child: number, source: number): void {
  if (uri === "") {
    openNull(builder, O_WRONLY, child);
    return;
  }
  const fds = builder.data.space(8);
  builder.sys("pipe2", [fds, O_CLOEXEC]);
  for (const [offset, slot] of [
    [0, source],
    [4, child],
  ] as const) {
    const fd = builder.register();
    builder.op("LOAD", [fds.offset + offset, 4], { to: fd });
    builder.op("KEEP", [fd, slot]);
    builder.release(fd);
  }
}

function openNull(builder: ProgramBuilder, access: number, slot: number): void {
  const fd = builder.call("openat", [AT_FDCWD, builder.data.string("/dev/null"), access | O_CLOEXEC, 0]);
  builder.op("KEEP", [fd, slot]);
  builder.release(fd);
}
