import { errnoName } from "../syscall/errno.ts";
import type { Program } from "./program.ts";

/** Of fsconfig's CMD_CREATE, and of mount(2). */
const CREATE_FAILURES = {
  ENOENT: "the source, or a path in the options, does not exist",
  EINVAL: "the file system refuses its options",
  EPERM: "the file system may not be mounted",
  EBUSY: "source is busy",
  ENODEV: "source is no device",
  ENOTBLK: "source is not a block device",
};

/** Reasons by what was done and which errno came back. */
const REASONS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  open_tree: {
    ENOENT: "source does not exist",
    ENOTDIR: "source has a file where a directory is needed",
    EACCES: "source is not accessible",
    EINVAL: "source cannot be cloned",
  },
  "source type": { EXDEV: "source is neither a directory nor a file, so it can't be shared" },
  "open bundle": { ENOENT: "the bundle does not exist" },
  "open rootfs": { ENOENT: "does not exist", ENOTDIR: "is not a directory", ELOOP: "has a symlink in it" },
  "open cgroup": { ENOENT: "the cgroup does not exist", EACCES: "the cgroup is not accessible" },
  "join cgroup": {
    ENODEV: "the cgroup is gone",
    EINVAL: "the cgroup takes no process",
    EBUSY: "the cgroup takes no process",
  },
  "open namespace": { ENOENT: "does not exist", EACCES: "is not accessible" },
  NS_GET_NSTYPE: { EXDEV: "is a namespace of another kind", ENOTTY: "is not a namespace", EBADF: "is not a namespace" },
  setns: {
    EINVAL: "cannot be joined",
    EPERM: "may not be joined",
    ESRCH: "the container's init is gone",
    EUSERS: "cannot be joined by a process of several threads",
  },
  fsopen: { ENODEV: "unknown file system type", EPERM: "file system may not be mounted" },
  "fsconfig create": CREATE_FAILURES,
  mount: CREATE_FAILURES,
  fsmount: { EPERM: "the file system may not be mounted" },
  "resolve target": {
    ENOENT: "target does not exist",
    ENOTDIR: "target has a file where a directory is needed",
    ELOOP: "target has a symlink in it",
    EXDEV: "target leaves the rootfs",
    EROFS: "target cannot be made on a read-only file system",
    EACCES: "target is not accessible",
  },
  move_mount: {
    EINVAL: "a directory and a file cannot be mounted on each other",
    ENOTDIR: "target is not a directory",
  },
  "refuse a target inside /proc": { EXDEV: "target lies inside /proc" },
  "refuse the host's namespace": { EXDEV: "the namespace that is joined is the host's" },
  statfs: { EXDEV: "is on another file system than it should be" },
  "device type": { EXDEV: "is another kind of file than configured" },
  "device number": { EXDEV: "is another device than configured" },
  mknodat: { EPERM: "the node may not be made", EEXIST: "exists already" },
  mount_setattr: { EPERM: "a flag is locked", EINVAL: "the kernel does not take these flags" },
  setresuid: { EINVAL: "the id is not mapped in the user namespace" },
  setresgid: { EINVAL: "the id is not mapped in the user namespace" },
  setgroups: { EINVAL: "an id is not mapped in the user namespace", EPERM: "groups may not be set" },
  prlimit64: { EPERM: "a limit may not be raised", EINVAL: "the kernel does not take this limit" },
  capset: { EPERM: "the runtime itself lacks a capability" },
  "open oom_score_adj": { EACCES: "may not be changed" },
  write: { EACCES: "may not be written", EPERM: "may not be written", EINVAL: "the kernel refuses the value" },
  "open sysctl": { ENOENT: "does not exist", EACCES: "may not be written" },
  "open attr": { ENOENT: "the kernel has no such security module" },
  sethostname: { EPERM: "may not be set" },
  chdir: { ENOENT: "no such directory inside the rootfs", ENOTDIR: "not a directory", EACCES: "permission denied" },
  "child's status": { EXDEV: "failed" },
  "ends in time": { EXDEV: "did not end in time" },
  fork: { EAGAIN: "too many processes", EPERM: "a namespace may not be made" },
  "map ids": {
    EINVAL: "the file system takes no id mappings",
    EPERM: "ids may not be mapped",
    ENOSYS: "the kernel has no idmapped mounts (5.12 has)",
  },
  "write the maps": { EPERM: "the id mappings are not allowed", EINVAL: "the id mappings overlap or are empty" },
  "move interface": {
    ENODEV: "no such interface",
    EINVAL: "this interface may not be moved",
  },
  "name is free": { EXDEV: "the container has an interface of that name" },
  "find interface": { ENODEV: "the interface is not there" },
  "add address": { EEXIST: "the address is there already" },
  set_mempolicy: {
    EINVAL: "the kernel does not take this policy or these nodes",
    ENOSYS: "the kernel has no memory policies",
  },
  sched_setattr: {
    EPERM: "may not be set (a deadline needs all CPUs of the cpuset)",
    EINVAL: "the kernel refuses the values",
  },
  ioprio_set: { EPERM: "may not be set" },
  seccomp: { EINVAL: "the kernel refuses the filter", EACCES: "needs noNewPrivileges or CAP_SYS_ADMIN" },
  clone3: {
    EBUSY: "the cgroup takes no process",
    EOPNOTSUPP: "the cgroup takes no process",
    ENODEV: "the cgroup is gone",
    EPERM: "a namespace may not be made",
    ENOSPC: "too many namespaces",
    EAGAIN: "too many processes",
    EINVAL: "the kernel does not have one of the namespaces",
  },
  unshare: {
    EPERM: "a namespace may not be made",
    ENOSPC: "too many namespaces",
    EINVAL: "the kernel does not have one of the namespaces",
  },
  "open ptmx": { ENOENT: "the container has no /dev/pts" },
  pivot_root: { EINVAL: "the root cannot be changed (is the host's root an initramfs?)" },
};

/**
 * The sentence for a step that failed with `errno` (a positive number): the field, the reason, the errno and where it came from, as in
 * `mounts[3] "/data": source does not exist (ENOENT from open_tree)`. The program's own start keeps the words that callers
 * of runc match: `executable file not found in $PATH`, `no such file or directory`, `permission denied`.
 */
export function describeFailure(program: Program, step: number, errno: number): string {
  const name = errnoName(errno);
  const label = program.labels[step];
  if (label === undefined) return step === 0xffff_ffff ? `launch program refused (${name})` : `step ${step}: ${name}`;
  const { field, action } = label;
  const own = describeProgram(field, action, name);
  if (own !== undefined) return own;
  if (name === "EXDEV" && CHILD_ACTIONS.has(action)) return `${field}: ${REASONS[action]?.[name]}`;
  const reason = REASONS[action]?.[name] ?? REASONS[action.split(" ")[0] ?? ""]?.[name] ?? ANYWHERE[name];
  return reason === undefined ? `${field}: ${name} from ${action}` : `${field}: ${reason} (${name} from ${action})`;
}

/** Reasons that are the same whatever was done. */
const ANYWHERE: Readonly<Record<string, string>> = {
  ENOSYS: "the kernel has no such call, or a seccomp filter around us hides it",
};

/** Steps that fail by our own verdict: there is no system call to name. */
const CHILD_ACTIONS = new Set(["child's status", "ends in time", "name is free"]);

const PROGRAM: Readonly<Record<string, string>> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  EPERM: "permission denied",
  ENOEXEC: "exec format error",
  ENOTDIR: "not a directory",
  ELOOP: "too many levels of symbolic links",
  ETXTBSY: "text file busy",
  E2BIG: "argument list too long",
  ENAMETOOLONG: "file name too long",
};

function describeProgram(field: string, action: string, errno: string): string | undefined {
  if (action !== "find program" && action !== "search $PATH" && action !== "execve") return undefined;
  if (!field.includes("args[0]")) return `${field}: ${PROGRAM[errno] ?? errno} (${errno} from ${action})`;
  const quoted = field.slice(field.indexOf(" ") + 1);
  const reason = PROGRAM[errno] ?? errno;
  if (action === "search $PATH" && errno === "ENOENT")
    return `${field}: exec: ${quoted}: executable file not found in $PATH`;
  if (action === "find program" && errno === "ENOENT")
    return `${field}: exec: ${quoted}: stat ${JSON.parse(quoted)}: ${reason}`;
  return `${field}: exec: ${quoted}: ${reason}${action === "execve" ? ` (${errno} from execve)` : ""}`;
}
