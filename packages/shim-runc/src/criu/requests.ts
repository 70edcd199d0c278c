import { criu, type Init } from "@trimaran/proto";
import {
  cgroupsMode,
  DUMP_LOG,
  type Dump,
  emptyNamespaces,
  externalMount,
  externalOf,
  LOG_LEVEL,
  RESTORE_LOG,
  type Restore,
} from "./arguments.ts";

const { CriuReqType, CriuCgMode } = criu;
/** sched.h; criu knows no other kind. */
const CLONE_NEWNET = 0x40000000;
const CGROUP_MODES: Readonly<Record<string, number>> = {
  soft: CriuCgMode.SOFT,
  full: CriuCgMode.FULL,
  strict: CriuCgMode.STRICT,
  ignore: CriuCgMode.IGNORE,
};

/** Fds that criu has, and that stand for directories. */
export interface ServiceFds {
  readonly images: number;
  readonly work: number;
}

/** `dumpArguments`, as criu's service is told; and that the terminal's other end is ours. */
export function dumpRequest(dump: Dump, fds: ServiceFds): Uint8Array {
  const { openTcp, externalUnixSockets, terminal, fileLocks, cgroupsMode: mode } = dump.wishes;
  return request(CriuReqType.DUMP, {
    ...places(fds, DUMP_LOG),
    pid: dump.pid,
    manageCgroupsMode: CGROUP_MODES[cgroupsMode(mode)] ?? CriuCgMode.SOFT,
    freezeCgroup: dump.freezer ?? "",
    leaveRunning: dump.leaveRunning,
    tcpEstablished: openTcp,
    extUnixSk: externalUnixSockets,
    shellJob: terminal,
    fileLocks,
    emptyNs: emptyNamespaces(dump.wishes).length > 0 ? CLONE_NEWNET : 0,
    external: externalOf(dump),
  });
}

/** `restoreArguments`, as criu's service is told: it asks at each of its stages, and hands the terminal's other end over. */
export function restoreRequest(restore: Restore, fds: ServiceFds): Uint8Array {
  return request(CriuReqType.RESTORE, {
    ...places(fds, RESTORE_LOG),
    root: restore.root,
    rstSibling: true,
    notifyScripts: true,
    tcpEstablished: true,
    extUnixSk: true,
    fileLocks: true,
    manageCgroupsMode: CriuCgMode.SOFT,
    cgRoot: restore.cgroups.map(({ controllers, path }) => ({ ctrl: controllers, path })),
    emptyNs: restore.emptyNetwork ? CLONE_NEWNET : 0,
    external: restore.mounts.map(externalMount),
    inheritFd: restore.inherited.map(({ fd, name }) => ({ fd, key: name })),
  });
}

/** The answer to criu's question whether it may go on. */
export function goOn(may: boolean): Uint8Array {
  return criu.CriuReq.encode({ type: CriuReqType.NOTIFY, notifySuccess: may });
}

function places({ images, work }: ServiceFds, logFile: string): Init<criu.CriuOpts> {
  return { imagesDirFd: images, workDirFd: work, logFile, logLevel: LOG_LEVEL, orphanPtsMaster: true };
}

function request(type: criu.CriuReqType, opts: Init<criu.CriuOpts>): Uint8Array {
  return criu.CriuReq.encode({ type, opts });
}
