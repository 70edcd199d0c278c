import { type CgroupStats, notJson } from "@trimaran/linux";
import {
  ANY,
  anyTypeName,
  containerd,
  GO_ZERO_TIME,
  type google,
  io,
  packAny,
  type Timestamp,
  type taskV2,
  toTimestamp,
} from "@trimaran/proto";
import { type CallContext, Code, type Implementation, StatusError } from "ttrpc-ts";
import { parseIdentifier } from "../identifier.ts";
import type { Pod } from "../pod/pod.ts";
import { parseStdio, type StdioUris } from "../stdio/uris.ts";
import { type ExitRecord, exitStatus } from "./exit.ts";
import { type ProcessState, pidOf, reportedStatus, statusNumber } from "./lifecycle.ts";
import type { Task } from "./task.ts";

/** One connection of containerd to a pod's monitor. */
export interface Connection {
  readonly pod: Pod;
  readonly conn: number;
  /** Streams whose request was sent to an earlier task server as well. */
  readonly replayed: Set<number>;
}

type Context = CallContext<Connection>;

/** What is no JSON is refused where it comes in; what it says is looked at by Start. Throws InvalidArgument. */
function requireJson(field: string, bytes: Uint8Array): void {
  try {
    JSON.parse(Buffer.from(bytes).toString());
  } catch (error) {
    throw new StatusError(Code.InvalidArgument, `${field}: ${notJson(error)}`);
  }
}

/** The methods, whichever of its two names the service goes by. */
export interface TaskService {
  readonly name: string;
  readonly methods: (typeof taskV2)["methods"];
}

/**
 * The 17 methods of containerd.task.v2.Task and v3.Task, which are the same. State, Pids, Connect and Wait answer from memory; what
 * changes a task goes through its queue. Source: contract section 3.
 */
export const taskService: Implementation<TaskService, Connection> = {
  async create(request, context) {
    const { pod } = context.data;
    const id = parseIdentifier("id", request.id);
    if (request.checkpoint !== "" && !pod.restores)
      throw new StatusError(Code.FailedPrecondition, "checkpoint: this shim does not restore from a checkpoint");
    const stdio: StdioUris = pick(request);
    parseStdio(stdio); // a bad URI fails before anything is made
    const own =
      request.options && request.options.value.length > 0
        ? [{ typeUrl: anyTypeName(request.options), value: Buffer.from(request.options.value) }]
        : [];
    const rootfs = request.rootfs.map(({ type, source, target, options }) => ({ type, source, target, options }));
    const pid = await pod.create(
      {
        id,
        namespace: pod.identity.namespace,
        bundle: request.bundle,
        rootfs,
        stdio,
        ...(request.checkpoint === "" ? {} : { checkpoint: request.checkpoint }),
        options: [...pod.options, ...own],
      },
      requestId(context),
    );
    return { pid };
  },

  async start({ id, execId }, context) {
    const task = context.data.pod.task(id);
    const by = requestId(context);
    if (execId === "") return { pid: await task.start(by) };
    await task.ready();
    return { pid: await task.exec(execId).start(by) };
  },

  async delete({ id, execId }, context) {
    const { pod } = context.data;
    if (execId !== "") {
      const task = await pod.readyTask(id);
      const { exec, state } = await task.deleteExec(execId, requestId(context));
      afterAnswer(() => task.dropExecNote(exec));
      return { pid: pidOf(state), ...reportedExit(state) };
    }
    const { pid, exit } = await pod.delete(id, requestId(context));
    return { pid, exitStatus: exitStatus(exit.exit), exitedAt: toTimestamp(exit.exitedAtNs) };
  },

  exec({ id, execId, spec, ...stdio }, context) {
    const uris = pick(stdio);
    parseStdio(uris);
    const process = Buffer.from(spec?.value ?? new Uint8Array(0));
    if (spec !== undefined) requireJson("spec", process);
    context.data.pod
      .task(id)
      .addExec({ id: parseIdentifier("exec_id", execId), stdio: uris, spec: process }, requestId(context));
    return {};
  },

  state({ id, execId }, { data: { pod } }) {
    const task = pod.task(id);
    const exec = execId === "" ? undefined : task.exec(execId);
    const state = exec?.state ?? task.state;
    const { stdin, stdout, stderr, terminal } = (exec ?? task.record).request.stdio;
    return {
      id: exec?.id ?? id,
      bundle: task.record.request.bundle,
      pid: pidOf(state),
      status: execStatus(task, state),
      stdin,
      stdout,
      stderr,
      terminal,
      ...reportedExit(state),
    };
  },

  async pids({ id }, { data: { pod } }) {
    const task = await pod.readyTask(id);
    const pids = await task.pids();
    const execs = new Map([...task.execs.values()].map((exec) => [pidOf(exec.state), exec.id]));
    const processes = pids.map((pid) => {
      const execId = execs.get(pid);
      if (execId === undefined) return { pid };
      return { pid, info: packAny(ANY.runcProcessDetails, containerd.runc.v1.ProcessDetails.encode({ execId })) };
    });
    return { processes };
  },

  async kill({ id, execId, signal, all }, { data: { pod, conn, replayed }, streamId }) {
    if (signal > 64) throw new StatusError(Code.InvalidArgument, `signal ${signal}: not 0 to 64`);
    const task = await pod.readyTask(id);
    await task.kill({ execId, signal, all, key: { conn, stream: streamId }, replayed: replayed.has(streamId) });
    return {};
  },

  async pause({ id }, { data: { pod, replayed }, streamId }) {
    await pod.task(id).pause(replayed.has(streamId));
    return {};
  },

  async resume({ id }, { data: { pod, replayed }, streamId }) {
    await pod.task(id).resume(replayed.has(streamId));
    return {};
  },

  async resizePty({ id, execId, width, height }, { data: { pod } }) {
    const task = await pod.readyTask(id);
    const exec = execId === "" ? undefined : task.exec(execId);
    const process = exec ? exec.process : task.init;
    if ((exec ?? task).state.state === "stopped")
      throw new StatusError(Code.FailedPrecondition, "cannot resize a stopped container");
    if (process && (exec ?? task.record).request.stdio.terminal) await pod.resize(process, width, height);
    return {};
  },

  async closeIO({ id, execId, stdin }, { data: { pod } }) {
    const task = await pod.readyTask(id);
    const exec = execId === "" ? undefined : task.exec(execId);
    if (stdin) await (exec ?? task).closeStdin();
    return {};
  },

  async checkpoint({ id, path, options }, { data: { pod, conn, replayed }, streamId }) {
    const { imagePath, workPath, parentPath, cgroupsMode, ...wishes } = parseCheckpointOptions(options);
    if (parentPath !== "")
      throw new StatusError(Code.InvalidArgument, "parent_path: a checkpoint on top of another is not supported");
    const task = await pod.readyTask(id);
    const request = {
      ...wishes,
      directory: absolute("path", imagePath || path),
      workDirectory: workPath === "" ? undefined : absolute("work_path", workPath),
      cgroupsMode: cgroupsMode || undefined,
      key: { conn, stream: streamId },
    };
    await task.checkpoint(request, replayed.has(streamId));
    return {};
  },

  async update({ id, resources }, { data: { pod } }) {
    await pod.task(id).update(parseResources(resources));
    return {};
  },

  async wait({ id, execId }, context) {
    const task = context.data.pod.task(id);
    const process = execId === "" ? task : task.exec(execId);
    return reportedExit(process.outcome ?? (await process.waiters.wait(context.signal)));
  },

  async stats({ id }, { data: { pod } }) {
    const container = (await pod.readyTask(id)).container();
    if (!container.stats) throw new StatusError(Code.Unimplemented, "this runtime has no stats: not implemented");
    const stats = await container.stats();
    return { stats: "typeUrl" in stats ? stats : packMetrics(stats) };
  },

  connect({ id }, { data: { pod } }) {
    const task = pod.tasks.get(id);
    return { shimPid: pod.host.monitorPid, taskPid: task ? pidOf(task.state) : 0, version: pod.runtimeVersion };
  },

  shutdown(_request, { data: { pod } }) {
    if (pod.isEmpty) pod.shutdownAfterAnswer();
    return {};
  },
};

/** Names a request for as long as its monitor lives. */
function requestId({ data, streamId }: Context): string {
  return `${data.conn}:${streamId}`;
}

/** The message type goes by the host's cgroup version. */
function packMetrics(stats: CgroupStats): google.protobuf.Any {
  const { v1, v2 } = io.containerd.cgroups;
  if (stats.version === 1) return packAny(ANY.cgroupV1Metrics, v1.Metrics.encode(stats.metrics));
  return packAny(ANY.cgroupV2Metrics, v2.Metrics.encode(stats.metrics));
}

/** After the reply has been handed to the monitor: what must not be seen if the reply is lost. */
function afterAnswer(job: () => void): void {
  setImmediate(job);
}

/** An exec of a paused container is paused, too. */
function execStatus(task: Task, state: ProcessState): number {
  const frozen = task.state.state === "paused" || task.state.state === "pausing";
  return frozen && state.state === "running" ? statusNumber(task.state) : statusNumber(state);
}

function reportedExit(state: ProcessState): { exitStatus: number; exitedAt: Timestamp } {
  return { exitStatus: reportedStatus(state), exitedAt: toTimestamp(exitTime(state)) };
}

function exitTime(state: ProcessState): bigint {
  const exit: ExitRecord | undefined = state.state === "stopped" ? state.exit : undefined;
  return exit?.exitedAtNs ?? GO_ZERO_TIME;
}

function pick({ stdin, stdout, stderr, terminal }: StdioUris): StdioUris {
  return { stdin, stdout, stderr, terminal };
}

type CheckpointOptions = Omit<containerd.runc.v1.CheckpointOptions, symbol>;

function parseCheckpointOptions(any: google.protobuf.Any | undefined): CheckpointOptions {
  const { CheckpointOptions } = containerd.runc.v1;
  if (!any || any.value.length === 0) return CheckpointOptions.decode(new Uint8Array(0));
  if (anyTypeName(any) === ANY.runcCheckpointOptions) return CheckpointOptions.decode(any.value);
  throw new StatusError(
    Code.InvalidArgument,
    `options: type ${JSON.stringify(any.typeUrl)}, not ${ANY.runcCheckpointOptions}`,
  );
}

function absolute(field: string, path: string): string {
  if (path.startsWith("/")) return path;
  throw new StatusError(Code.InvalidArgument, `${field}: ${JSON.stringify(path)} is no absolute path`);
}

function parseResources(any: google.protobuf.Any | undefined): unknown {
  if (anyTypeName(any) !== ANY.ociLinuxResources)
    throw new StatusError(
      Code.InvalidArgument,
      `resources: type ${JSON.stringify(any?.typeUrl ?? "")}, not ${ANY.ociLinuxResources}`,
    );
  try {
    return JSON.parse(Buffer.from(any?.value ?? new Uint8Array(0)).toString());
  } catch (error) {
    throw new StatusError(Code.InvalidArgument, `resources: no JSON`, { cause: error });
  }
}
