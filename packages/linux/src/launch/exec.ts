import type { Spec } from "../spec/spec.ts";
import { NAMESPACE_FLAG } from "../spec/tables.ts";
import { makeConsole } from "./console.ts";
import { AT, F, PRCTL } from "./constants.ts";
import { becomeProcess } from "./identity.ts";
import { SLOT } from "./opcodes.ts";
import type { ExecPlan } from "./plan.ts";
import { type Program, ProgramBuilder } from "./program.ts";
import * as stage from "./stage.ts";

/** Out of the way of the fds that the program inherits. */
const HIGH_FD = 198;
const DEFAULT_UMASK = 0o022;

/**
 * The program of one more process in a running container. Two clones: the stage enters the cgroup, holds nothing but init's
 * pidfd, and enters the namespaces by it; only its sibling is in the container's pid namespace, and owns one socket.
 * Throws InvalidSpec. Source: runtime checklist, section 5.
 */
export function compileExec(plan: ExecPlan): Program {
  const { spec, stdio, cgroup, host } = plan;
  const { linux } = spec;
  const capabilities = plan.process.capabilities ?? spec.process?.capabilities;
  const process = {
    ...plan.process,
    capabilities,
    // Nothing said is no way out of init's confinement.
    apparmorProfile: plan.process.apparmorProfile ?? spec.process?.apparmorProfile,
    selinuxLabel: plan.process.selinuxLabel ?? spec.process?.selinuxLabel,
  };
  const hasUser = linux.namespaces.has("user");
  const b = new ProgramBuilder(host.architecture, { timed: plan.timed === true });
  b.field = "prelude";
  plan.prelude?.(b);
  b.field = "stdio";
  stdio.prelude(b);
  const init = "slot" in plan.init ? plan.init.slot : openInit(b, plan.init.pid);
  const close = stage.stdioSlots(stdio) | ("slot" in plan.init ? 0 : 1 << init);
  stage.cloneFirst(b, 0, cgroup.into, close);
  stage.takeStdio(b, stdio);
  b.field = "init's namespaces";
  const pidfd = b.call("fcntl", [{ kind: "slot", index: init }, F.DUPFD_CLOEXEC, HIGH_FD], { action: "dup pidfd" });
  stage.takeExtra(b, plan.gate, plan.preserved ?? []);
  const affinity = process.execCpuAffinity;
  if (affinity !== undefined && affinity.initial.length > 0) {
    stage.setAffinity(b, affinity.initial, "process.execCPUAffinity.initial");
  }
  stage.attachCgroup(b, cgroup);
  stage.joinResctrl(b, plan.resctrlTasks);
  if (affinity === undefined) stage.setAffinity(b, undefined, "process");
  else if (affinity.final.length > 0) stage.setAffinity(b, affinity.final, "process.execCPUAffinity.final");
  stage.setOomScore(b, process);
  if (hasUser) stage.setLimits(b, process, "early");
  stage.ownStdio(b, stdio, stage.hostUid(linux, process));
  b.field = "init's namespaces";
  stage.closeAllBut(b, [pidfd]);
  b.sys("prctl", [PRCTL.SET_DUMPABLE, 0, 0, 0, 0]); // an unprivileged caller's is, for its own /proc/self
  b.sys("setns", [pidfd, namespaceFlags(spec)]);
  b.sys("close", [pidfd]);
  b.release(pidfd);
  stage.cloneSibling(b, 0);
  if (hasUser) {
    b.field = "process.user";
    b.sys("setresgid", [0, 0, 0], { tolerate: ["EINVAL"] });
    b.sys("setresuid", [0, 0, 0], { tolerate: ["EINVAL"] });
  }
  b.field = "process";
  b.sys("setsid", []);
  makeConsole(b, stdio, host, { pts: undefined, root: AT.FDCWD, dev: undefined, uid: process.user.uid });
  becomeProcess(b, {
    id: plan.id,
    process,
    seccomp: plan.seccomp,
    newKeyring: plan.newKeyring !== false,
    inUserNamespace: hasUser,
    umask: process.user.umask ?? spec.process?.user.umask ?? DEFAULT_UMASK,
    personality: linux.personality,
    memoryPolicy: linux.memoryPolicy,
    gate: plan.gate,
    startHooks: undefined,
    isInit: false,
    root: AT.FDCWD,
  });
  return b.build();
}

/** The monitor is init's parent, and init is not reaped while it runs: the number is still its own. */
function openInit(b: ProgramBuilder, pid: number): number {
  b.field = "init's namespaces";
  const fd = b.call("pidfd_open", [pid, 0]);
  b.op("KEEP", [fd, SLOT.initPidfd]);
  b.release(fd);
  return SLOT.initPidfd;
}

/** Every kind that the container has, made or joined. The kernel takes them in one call and enters the user namespace first. */
function namespaceFlags({ linux }: Spec): number {
  let flags = 0;
  for (const kind of linux.namespaces.keys()) flags |= NAMESPACE_FLAG[kind];
  return flags;
}
