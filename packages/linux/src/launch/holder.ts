import { NAMESPACE_FLAG } from "../spec/tables.ts";
import type { Architecture } from "../syscall/numbers.ts";
import { AT, CLONE, O } from "./constants.ts";
import { waitAtGate } from "./identity.ts";
import { type Program, ProgramBuilder } from "./program.ts";
import { cloneFirst, closeAllBut, ignoreSignal } from "./stage.ts";

/** A process that waits at the start gate, and ends when it opens: systemd makes no scope without one. It ends with its monitor, too. */
export function compileHolder(architecture: Architecture): Program {
  const b = new ProgramBuilder(architecture);
  cloneFirst(b, 0, undefined, 0);
  closeAllBut(b, []);
  waitAtGate(b, "monitor");
  b.op("EXIT", [0]);
  return b.build();
}

/** What a pod's containers are to share. */
export interface PodNamespaces {
  /** Path of the network namespace; undefined: the host's. */
  readonly network: string | undefined;
  /** Of a new uts namespace; undefined: the host's. */
  readonly hostname: string | undefined;
  readonly ownIpc: boolean;
  readonly ownProcesses: boolean;
}

const SIGCHLD = 17;

/**
 * A process that has a pod's namespaces, for its containers to join, and does nothing: a pause container without a container. It waits at the gate,
 * and ends with its monitor. As the first process of a pid namespace it has the kernel reap what is left to it.
 */
export function compilePodHolder(architecture: Architecture, namespaces: PodNamespaces): Program {
  const { network, hostname, ownIpc, ownProcesses } = namespaces;
  const b = new ProgramBuilder(architecture);
  const kinds = [
    ...(hostname === undefined ? [] : ["uts" as const]),
    ...(ownIpc ? ["ipc" as const] : []),
    ...(ownProcesses ? ["pid" as const] : []),
  ];
  const flags = kinds.reduce((all, kind) => all | NAMESPACE_FLAG[kind], 0);
  cloneFirst(b, flags, undefined, 0);
  if (network !== undefined) {
    b.field = `netns_path ${JSON.stringify(network)}`;
    const flagsOfOpen = O.RDONLY | O.CLOEXEC;
    const fd = b.call("openat", [AT.FDCWD, b.data.string(network), flagsOfOpen], { action: "open namespace" });
    b.sys("setns", [fd, CLONE.NEWNET]);
    b.release(fd);
  }
  if (hostname !== undefined && hostname !== "") {
    b.field = "hostname";
    b.sys("sethostname", [b.data.string(hostname), Buffer.byteLength(hostname)]);
  }
  b.field = "linux.security_context.namespace_options.pid";
  if (ownProcesses) ignoreSignal(b, SIGCHLD);
  closeAllBut(b, []);
  waitAtGate(b, "monitor");
  b.op("EXIT", [0]);
  return b.build();
}
