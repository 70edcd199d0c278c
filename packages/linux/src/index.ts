export { Cgroup, type CgroupTools } from "./cgroup/cgroup.ts";
export { DEVICE_ACCESS, isDeviceAllowed, reduceDeviceRules } from "./cgroup/device-set.ts";
export { DevicePrograms } from "./cgroup/devices-v2.ts";
export { CgroupError } from "./cgroup/error.ts";
export { type CgroupHost, type CgroupMode, detectCgroups } from "./cgroup/host.ts";
export type { Limit } from "./cgroup/limits.ts";
export { compileLimitsV2 } from "./cgroup/limits-v2.ts";
export { type OomWatch, parseOomKills } from "./cgroup/oom.ts";
export { type CgroupPlan, isNoCgroup, NO_CGROUP, planCgroup } from "./cgroup/plan.ts";
export type { LinuxResources } from "./cgroup/resources.ts";
export { planScope } from "./cgroup/scope-plan.ts";
export type { CgroupStats } from "./cgroup/stats.ts";
export { type DoctorCheck, toCheck } from "./doctor/check.ts";
export { checkCgroups, checkLimits } from "./doctor/host.ts";
export { checkKernel } from "./doctor/kernel.ts";
export { compareSteps } from "./explain/difference.ts";
export { disassemble, type ExplainedProgram } from "./explain/disassemble.ts";
export { type CgroupView as ProcessCgroupView, type ProcessView, viewProcess } from "./explain/process-view.ts";
export { formatDifference, formatProgram } from "./explain/text.ts";
export { compileExec } from "./launch/exec.ts";
export { describeFailure } from "./launch/failure.ts";
export { compileHolder, compilePodHolder } from "./launch/holder.ts";
export { type HookStatus, type HookSubject, hookState } from "./launch/hooks.ts";
export { type HostFeatures, inInitialUserNamespace, readHostFeatures } from "./launch/host.ts";
export { compileInit } from "./launch/init.ts";
export { raiseLoopbackOf } from "./launch/namespaces.ts";
export { moveDevices } from "./launch/net-devices.ts";
export { SLOT as PROGRAM_SLOT, SYNC_CODE } from "./launch/opcodes.ts";
export { enterOwnRoot, type OwnRoot, type ShownDevice, showDevice } from "./launch/own-root.ts";
export type { CgroupView, ExecPlan, Gate, InitPlan, SeccompPlan, StdioPlan } from "./launch/plan.ts";
export { type Data, type Label, type Operand, type Program, ProgramBuilder, type Register } from "./launch/program.ts";
export { hostPath, makeMountPoints, mountPrivately, type RootfsPlan } from "./launch/rootfs.ts";
export { MAX_SOCKET_PATH, sendFd } from "./launch/send-fd.ts";
export {
  makeShare,
  mountInShare,
  type SharedBind,
  type SharedMounts,
  type SharePlace,
  unmountInShare,
} from "./launch/share.ts";
export { ignoreSignal } from "./launch/stage.ts";
export { readStepTimes } from "./launch/step-clock.ts";
export type { Mount } from "./mount/mount.ts";
export { inNetworkNamespace } from "./network/namespace.ts";
export {
  type Attribute as NetlinkAttribute,
  encodeAttribute,
  IFF_UP,
  linkBody,
  text as netlinkText,
  word as netlinkWord,
} from "./network/netlink.ts";
export { Netlink, type NetlinkObject } from "./network/netlink-socket.ts";
export { type FoundDevice, readDevices } from "./network/read-device.ts";
export {
  makeResctrl,
  planResctrl,
  presentTasks,
  type ResctrlPlan,
  removeResctrl,
  resctrlTasks,
  updateResctrl,
} from "./resctrl/group.ts";
export { SeccompCompiler } from "./seccomp/compiler.ts";
export { AUDIT_ARCH, alwaysPasses } from "./seccomp/filter.ts";
export { SeccompError } from "./seccomp/profile.ts";
export { HOOK_KINDS, type Hook, type HookKind } from "./spec/hooks.ts";
export { parseIntelRdt } from "./spec/intel-rdt.ts";
export { InvalidSpec } from "./spec/invalid-spec.ts";
export type { Process } from "./spec/process.ts";
export { parseResources } from "./spec/resources.ts";
export { parseSeccomp, parseSeccompListener, type SeccompListener } from "./spec/seccomp.ts";
export { notJson, parseExecProcess, parseSpec, type Spec } from "./spec/spec.ts";
export { MEMORY_POLICY_FLAG, MEMORY_POLICY_MODE } from "./spec/tables.ts";
export { errnoName, SyscallError } from "./syscall/errno.ts";
export { lazyNative, type Native } from "./syscall/native.ts";
export { SYSCALL, toArchitecture } from "./syscall/numbers.ts";
export { openPidfd, sendPidfdSignal } from "./syscall/pidfd.ts";
export { sealedCopy } from "./syscall/sealed-copy.ts";
export { signalNumber } from "./syscall/signals.ts";
export { startScope, stopScope, updateScope } from "./systemd/scope.ts";
export type { ScopeStart } from "./systemd/scope-properties.ts";
