import { parseCapabilities } from "../capability/capability.ts";
import type { Hook } from "../spec/hooks.ts";
import type { MemoryPolicy } from "../spec/memory-policy.ts";
import type { Process } from "../spec/process.ts";
import {
  AT,
  KEYCTL,
  MAGIC,
  O,
  PRCTL,
  RESOLVE,
  S,
  SECCOMP_FILTER_FLAG_NEW_LISTENER,
  SECCOMP_SET_MODE_FILTER,
} from "./constants.ts";
import { type HookSubject, runContainerHooks } from "./hooks.ts";
import { CHECK, SLOT, SYNC_CODE } from "./opcodes.ts";
import type { Gate, SeccompPlan } from "./plan.ts";
import type { Data, Operand, ProgramBuilder, Register } from "./program.ts";
import { closeAllBut, GATE_FD, setLimits } from "./stage.ts";
import { check, openAt, writeText } from "./tree.ts";

/** What the last part of init's and exec's programs depends on. */
export interface Tail {
  readonly id: string;
  readonly process: Process;
  readonly seccomp: SeccompPlan | undefined;
  readonly newKeyring: boolean;
  /** The container has a user namespace: limits were set before it. */
  readonly inUserNamespace: boolean;
  readonly umask: number;
  readonly personality: number | undefined;
  readonly memoryPolicy: MemoryPolicy | undefined;
  readonly gate: Gate | undefined;
  /** Hooks between the gate and the program. */
  readonly startHooks: { readonly hooks: readonly Hook[]; readonly subject: HookSubject } | undefined;
  readonly isInit: boolean;
  /** The container's root: AT_FDCWD's `/`, or an fd of it. */
  readonly root: Operand;
}

/** From the session keyring to execve: who the process is, what it may, and its start. Source: runtime checklist, phases I to K. */
export function becomeProcess(b: ProgramBuilder, tail: Tail): void {
  const { process } = tail;
  if (tail.newKeyring) joinKeyring(b, tail);
  setLabels(b, process, tail.root);
  schedule(b, tail);
  b.field = "process.user.umask";
  b.sys("umask", [tail.umask]);
  const environment = compileEnvironment(b, process, tail.root);
  setLimits(b, process, tail.inUserNamespace ? "after early" : "once");
  b.field = "process";
  closeAllBut(b, []); // before chdir: no fd of ours can be a way out
  const late = enterDirectory(b, process);
  if (process.noNewPrivileges) {
    b.field = "process.noNewPrivileges";
    b.sys("prctl", [PRCTL.SET_NO_NEW_PRIVS, 1, 0, 0, 0]);
  }
  const { seccomp } = tail;
  const gateFirst =
    seccomp !== undefined && !process.noNewPrivileges && seccomp.passesGate !== true && tail.gate !== undefined;
  if (seccomp !== undefined && !process.noNewPrivileges) b.tellTimes(); // the filter need not let it pass
  if (gateFirst) waitAtGate(b, tail.gate);
  if (seccomp !== undefined && !process.noNewPrivileges) installFilter(b, seccomp);
  changeIdentity(b, process);
  retryDirectory(b, process, late);
  const path = findProgram(b, process);
  b.tellTimes();
  if (seccomp !== undefined && process.noNewPrivileges && seccomp.passesGate === true) installFilter(b, seccomp);
  if (!gateFirst) waitAtGate(b, tail.gate);
  if (seccomp !== undefined && process.noNewPrivileges && seccomp.passesGate !== true) installFilter(b, seccomp);
  if (tail.startHooks !== undefined)
    runContainerHooks(b, tail.startHooks.hooks, tail.startHooks.subject, "created", "/");
  const argv = b.data.pointers(process.args.map((arg) => b.data.string(arg)));
  b.field = `process.args[0] ${JSON.stringify(process.args[0])}`;
  b.op("EXEC", [path, argv, b.data.pointers(environment), AT.FDCWD, 0], { action: "execve" });
}

const KEY_PERMISSIONS = 0x3f130000; // what the kernel gives a new session keyring
const KEY_USER_SEARCH = 0x80000;
const KEY_OTHER_SEARCH = 0x8;

function joinKeyring(b: ProgramBuilder, { id, inUserNamespace, isInit }: Tail): void {
  b.field = "session keyring";
  const name = b.data.string(`_ses.${id}`.slice(0, 4000));
  const ring = b.register();
  const joined = b.sys("keyctl", [KEYCTL.JOIN_SESSION_KEYRING, name], { to: ring, tolerate: ["ENOSYS", "EPERM"] });
  if (isInit) {
    const permissions = KEY_PERMISSIONS | (inUserNamespace ? KEY_OTHER_SEARCH : KEY_USER_SEARCH);
    b.sys("keyctl", [KEYCTL.SETPERM, ring, permissions], { tolerate: ["EACCES"] });
    b.skipOnError(joined);
  }
  b.release(ring);
}

/** Security labels that take effect at exec, through a /proc that is the kernel's: nothing may be mounted in the way. */
function setLabels(b: ProgramBuilder, { apparmorProfile, selinuxLabel }: Process, root: Operand): void {
  if (apparmorProfile !== undefined && apparmorProfile !== "unconfined") {
    b.field = `process.apparmorProfile ${JSON.stringify(apparmorProfile)}`;
    writeAttribute(b, root, "apparmor/exec", `exec ${apparmorProfile}`);
  }
  if (selinuxLabel !== undefined) {
    b.field = `process.selinuxLabel ${JSON.stringify(selinuxLabel)}`;
    writeAttribute(b, root, "exec", selinuxLabel);
  }
}

const PROC_ROOT_INODE = 1;

function writeAttribute(b: ProgramBuilder, root: Operand, name: string, value: string): void {
  const proc = openAt(b, root, "/proc", O.PATH, RESOLVE.IN_ROOT | RESOLVE.NO_SYMLINKS, { action: "open /proc" });
  check(b, proc, CHECK.magic, MAGIC.proc, { action: "statfs" });
  check(b, proc, CHECK.inode, PROC_ROOT_INODE, { action: "statfs" });
  const resolution = RESOLVE.NO_XDEV | RESOLVE.BENEATH | RESOLVE.NO_MAGICLINKS;
  const own = openAt(b, proc, `thread-self/attr/${name}`, O.WRONLY, resolution, { action: "open attr" });
  writeText(b, own, value);
  b.release(own);
  b.release(proc);
}

const MAX_NODES = 1024;

function setMemoryPolicy(b: ProgramBuilder, { mode, nodes }: MemoryPolicy): void {
  b.field = "linux.memoryPolicy";
  const words = new Array<bigint>(MAX_NODES / 64).fill(0n);
  for (const node of nodes) words[node >> 6] = (words[node >> 6] ?? 0n) | (1n << BigInt(node & 63));
  const mask = nodes.length === 0 ? [0, 0] : [b.data.words(words), MAX_NODES + 1]; // the kernel takes one bit less than it is told
  b.sys("set_mempolicy", [mode, ...mask]);
}

function schedule(b: ProgramBuilder, { process, personality, memoryPolicy }: Tail): void {
  const { scheduler, ioPriority } = process;
  if (scheduler !== undefined) {
    b.field = "process.scheduler";
    const attr = new DataView(new ArrayBuffer(48));
    attr.setUint32(0, 48, true);
    attr.setUint32(4, scheduler.policy, true);
    attr.setBigUint64(8, BigInt(scheduler.flags), true);
    attr.setInt32(16, scheduler.nice, true);
    attr.setUint32(20, scheduler.priority, true);
    attr.setBigUint64(24, BigInt(scheduler.runtimeNs), true);
    attr.setBigUint64(32, BigInt(scheduler.deadlineNs), true);
    attr.setBigUint64(40, BigInt(scheduler.periodNs), true);
    b.sys("sched_setattr", [0, b.data.bytes(new Uint8Array(attr.buffer)), 0]);
  }
  if (ioPriority !== undefined) {
    b.field = "process.ioPriority";
    b.sys("ioprio_set", [1, 0, ioPriority]); // IOPRIO_WHO_PROCESS
  }
  if (personality !== undefined) {
    b.field = "linux.personality";
    b.sys("personality", [personality]);
  }
  if (memoryPolicy !== undefined) setMemoryPolicy(b, memoryPolicy);
}

const HOME_SIZE = 1024;

/** envp's strings; HOME, if the process has none, from the container's /etc/passwd by uid, else `/`. */
function compileEnvironment(b: ProgramBuilder, process: Process, root: Operand): readonly Data[] {
  const given = process.env.filter((entry) => entry !== "HOME=");
  const strings = given.map((entry) => b.data.string(entry));
  if (given.some((entry) => entry.startsWith("HOME="))) return strings;
  const home = b.data.space(5 + HOME_SIZE);
  b.data.write(home, Buffer.from("HOME=/"));
  const value = home.offset + 5;
  b.field = "process.env HOME";
  const found = b.register();
  const flags = O.RDONLY | O.NONBLOCK | O.NOCTTY;
  const passwd = openAt(b, root, "/etc/passwd", flags, RESOLVE.IN_ROOT | RESOLVE.NO_MAGICLINKS, { tolerate: "any" });
  const opened = b.next - 1;
  const regular = check(b, passwd, CHECK.type, S.IFREG, { tolerate: ["EXDEV"] });
  const args = [passwd, b.data.string(String(process.user.uid)), 2, 5, value, HOME_SIZE];
  b.op("FIELD", args, { to: found, tolerate: "any", action: "look up uid" });
  b.skipOnError(regular);
  b.skipOnError(opened);
  const ok = b.op("BRANCH", [found, 3, 1], { action: "found" });
  b.op("STORE", [0x2f, value, 4], { action: "HOME=/" });
  b.skipOnSuccess(ok);
  b.release(found);
  b.release(passwd);
  return [...strings, home];
}

/** As root, who may pass everywhere; where he may not (NFS), once more as the user. The result tells which. */
function enterDirectory(b: ProgramBuilder, { cwd }: Process): Register {
  b.field = `process.cwd ${JSON.stringify(cwd)}`;
  const result = b.register();
  b.op("CWD", [b.data.string(cwd)], { to: result, tolerate: ["EACCES", "EPERM"], action: "chdir" });
  return result;
}

function retryDirectory(b: ProgramBuilder, { cwd }: Process, result: Register): void {
  b.field = `process.cwd ${JSON.stringify(cwd)}`;
  const done = b.op("BRANCH", [result, 0, 0], { action: "chdir done" });
  b.op("CWD", [b.data.string(cwd)], { action: "chdir" });
  b.skipOnSuccess(done);
  b.release(result);
}

const CAPS = { bounding: 1, set: 2, ambient: 4 } as const;

/** Bounding set, ids, the other sets: in this order, or the later ones would lack the privilege. */
function changeIdentity(b: ProgramBuilder, { capabilities, user }: Process): void {
  let sets: Data | undefined;
  if (capabilities !== undefined) {
    b.field = "process.capabilities";
    const { bounding, effective, permitted, inheritable, ambient } = parseCapabilities(capabilities).masks;
    sets = b.data.words([bounding, effective, permitted, inheritable, ambient]);
    b.op("CAPS", [sets, CAPS.bounding], { action: "drop bounding set" });
    b.sys("prctl", [PRCTL.SET_KEEPCAPS, 1, 0, 0, 0]);
  }
  b.field = "process.user.additionalGids";
  const gids = user.additionalGids;
  b.sys("setgroups", [gids.length, gids.length === 0 ? 0 : b.data.halves(gids)], {
    tolerate: gids.length === 0 ? ["EPERM"] : [],
  });
  b.field = "process.user.gid";
  b.sys("setresgid", [user.gid, user.gid, user.gid]);
  b.field = "process.user.uid";
  b.sys("setresuid", [user.uid, user.uid, user.uid]);
  if (sets === undefined) return;
  b.field = "process.capabilities";
  b.sys("prctl", [PRCTL.SET_KEEPCAPS, 0, 0, 0, 0]);
  b.op("CAPS", [sets, CAPS.set | CAPS.ambient], { action: "capset" });
}

function installFilter(b: ProgramBuilder, { bytes, flags, notify }: SeccompPlan): void {
  b.field = "linux.seccomp";
  const program = b.data.space(16);
  b.data.write(program, Uint8Array.of((bytes.length / 8) & 0xff, (bytes.length / 8) >> 8));
  b.data.point({ kind: "data", offset: program.offset + 8 }, b.data.bytes(bytes));
  if (notify !== true) {
    b.sys("seccomp", [SECCOMP_SET_MODE_FILTER, flags, program]);
    return;
  }
  const all = flags | SECCOMP_FILTER_FLAG_NEW_LISTENER;
  const listener = b.call("seccomp", [SECCOMP_SET_MODE_FILTER, all, program]);
  b.field = "linux.seccomp.listenerPath";
  b.op("SYNC", [SYNC_CODE.LISTENER, 0, listener, SLOT.listener, b.data.string(""), 0], { action: "send the listener" });
  b.sys("close", [listener]);
  b.release(listener);
}

/** Tell that everything is ready, and wait. */
export function waitAtGate(b: ProgramBuilder, gate: Gate | undefined): void {
  if (gate === undefined) return;
  b.field = "start";
  b.op("GATE", [], { action: "wait for start" });
  if (gate !== "monitor") b.sys("read", [GATE_FD, b.data.space(8), 1], { action: "wait for start" });
}

const FIND_SIZE = 4096;

/** execvp's search, before the gate, as the user: what cannot be found is an error of Create. */
function findProgram(b: ProgramBuilder, { args, env }: Process): Data {
  const [name = ""] = args;
  b.field = `process.args[0] ${JSON.stringify(name)}`;
  const search = env.find((entry) => entry.startsWith("PATH="))?.slice(5) ?? "";
  const candidates = name.includes("/")
    ? [name]
    : search.split(":").map((folder) => `${folder === "" ? "." : folder}/${name}`);
  const result = b.data.space(FIND_SIZE);
  const action = name.includes("/") ? "find program" : "search $PATH";
  b.op("FIND", [b.data.strings(search === "" && !name.includes("/") ? [] : candidates), result], { action });
  return result;
}
