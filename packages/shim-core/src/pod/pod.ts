import { existsSync, unlinkSync } from "node:fs";
import type { MonitorLink } from "@trimaran/monitor";
import type { OtlpExporter } from "@trimaran/proto";
import { Code, type Server, StatusError } from "ttrpc-ts";
import { type Forward, Outbox } from "../events/outbox.ts";
import { TaskEvents } from "../events/task-events.ts";
import type { ContainerProcess } from "../host/container-process.ts";
import { Host } from "../host/host.ts";
import { resizeProgram } from "../host/programs.ts";
import type { Logger } from "../log.ts";
import type { RunningSandbox, Runtime, SandboxRequest } from "../runtime.ts";
import { PodSandbox, type WantedSandbox } from "../sandbox/pod-sandbox.ts";
import { SLOT } from "../stdio/slots.ts";
import type { ExitRecord } from "../task/exit.ts";
import { type CreateRequest, decodeRecord, type ExecRecord, type TaskRecord } from "../task/record.ts";
import type { Connection } from "../task/service.ts";
import { Task } from "../task/task.ts";
import { MonitorChannel, streamIdOf } from "./channel.ts";
import type { PodIdentity } from "./identity.ts";
import { monitorNotebook, type Notebook } from "./notebook.ts";

/** A monitor that nobody connects to goes away: the daemon that started it died, or could not read the reply. */
const FIRST_CONNECTION_LIMIT_MS = 30_000;
/** The same for a monitor that comes back without a container: what was to end it went with an earlier task server. */
const RETURN_LIMIT_MS = 3000;
/** Without a connection for this long it is looked whether the pod still has an owner: a daemon that was killed is back by then. */
const ABANDONED_LIMIT_MS = 30_000;
const FLUSH_LIMIT_MS = 5000;
/** containerd hangs up as soon as it has the answer. */
const HANG_UP_LIMIT_MS = 250;
const SHUTDOWN_NOTE = "shutdown";

/** What a pod needs of its task server. */
export interface PodEnvironment {
  readonly runtime: Runtime;
  readonly server: Server<Connection>;
  readonly log: Logger;
  readonly cacheDirectory: string;
  /** The monitor was started by an earlier task server. */
  readonly returns?: boolean;
  /** The monitor has an owner, who ends it. */
  readonly isOwned?: boolean;
  /** Default: the monitor's. */
  readonly notebook?: Notebook;
  readonly forward: (identity: PodIdentity) => Forward;
  /** Where spans go besides to callers who ask for them. Default: nowhere. */
  readonly exporter?: OtlpExporter | undefined;
}

/** The task server's side of one monitor: its containers, its connections, its events. */
export class Pod {
  readonly identity: PodIdentity;
  readonly options: CreateRequest["options"];
  readonly host: Host;
  readonly tasks = new Map<string, Task>();
  readonly #environment: PodEnvironment;
  readonly #link: MonitorLink;
  readonly #notebook: Notebook;
  readonly #outbox: Outbox;
  readonly #events: TaskEvents;
  readonly #log: Logger;
  readonly #connections = new Map<number, { channel: MonitorChannel; data: Connection }>();
  /** Whose hanging up is waited for. */
  #leaving: { readonly conn: number; readonly timer: NodeJS.Timeout } | undefined;
  #sandbox: PodSandbox | undefined;
  #lonely: NodeJS.Timeout | undefined;
  #abandoned: NodeJS.Timeout | undefined;
  #replaying = true;

  constructor(environment: PodEnvironment, link: MonitorLink, identity: PodIdentity) {
    this.#environment = environment;
    this.#link = link;
    this.identity = identity;
    this.options = identity.options.map(({ typeUrl, value }) => ({ typeUrl, value: Buffer.from(value, "base64") }));
    this.#log = environment.log.with({ namespace: identity.namespace, sandbox_id: identity.group });
    const { cacheDirectory } = environment;
    this.#notebook = environment.notebook ?? monitorNotebook(link);
    const notebook = this.#notebook;
    this.host = new Host({ link, log: this.#log, cacheDirectory, identity, notebook });
    this.#outbox = new Outbox(notebook, environment.forward(identity), this.#log);
    this.#events = new TaskEvents(this.#outbox, identity.namespace, () => this.host.nowNs());
    link.onFrame = (conn, frame, info) => this.#receive(conn, frame, info);
    link.onConnClosed = (conn) => this.#disconnected(conn);
    link.onProcess = (report) => this.host.dispatch.process(report.key)?.report(report);
    link.onSync = (sync) => this.host.dispatch.sync(sync.key, sync);
    link.onWatch = (key, slot, data) => this.#watched(key, slot, data);
    this.#recover();
    if (notebook.notes.has(SHUTDOWN_NOTE)) setImmediate(() => void this.shutdown());
    if (this.tasks.size === 0 && this.#sandbox === undefined && environment.isOwned !== true)
      this.#lonely = setTimeout(
        () => void this.shutdown(),
        environment.returns ? RETURN_LIMIT_MS : FIRST_CONNECTION_LIMIT_MS,
      ).unref();
    this.#lookForOwner();
  }

  get runtimeVersion(): string {
    return this.#environment.runtime.version;
  }

  get exporter(): OtlpExporter | undefined {
    return this.#environment.exporter;
  }

  get restores(): boolean {
    return this.#environment.runtime.restores === true;
  }

  /** Throws NotFound. */
  task(id: string): Task {
    const task = this.tasks.get(id);
    if (!task || task.isDeleted) throw notFound();
    return task;
  }

  /** What the Sandbox API has made of the pod. */
  get sandbox(): PodSandbox | undefined {
    return this.#sandbox;
  }

  /** Throws AlreadyExists if there is another; `by` names the request, whose replay is welcome. */
  createSandbox(wanted: WantedSandbox, by: string): void {
    const { id } = wanted;
    if (this.#environment.runtime.keepsSandboxes !== true)
      throw new StatusError(Code.Unimplemented, "this runtime keeps no sandboxes: not implemented");
    if (this.#sandbox?.id === id && this.#sandbox.createdBy === by) return;
    if (this.#sandbox) throw new StatusError(Code.AlreadyExists, `sandbox ${this.#sandbox.id}: already exists`);
    this.host.recordUndo(this.identity.bundle, []); // the socket, which nobody else takes away if the monitor is killed
    this.#sandbox = PodSandbox.create(this.#keeper(), wanted, by);
  }

  /** Throws FailedPrecondition unless it was just created; what the runtime says, and it may be started again. */
  startSandbox(sandbox: PodSandbox, by: string): Promise<{ readonly startedAtNs: bigint; readonly pid: number }> {
    const { sandboxes } = this.#environment.runtime;
    if (sandboxes === undefined) return sandbox.start(by, () => this.host.monitorPid);
    return sandbox.start(by, async () => {
      const running = await sandboxes.start(this.#sandboxRequest(sandbox), this.host);
      this.#follow(sandbox, running);
      return running.pid;
    });
  }

  /** What the runtime has made for it goes. Without that nothing happens. */
  async removeSandbox(sandbox: PodSandbox): Promise<void> {
    await this.#environment.runtime.sandboxes?.remove(this.#sandboxRequest(sandbox), this.host);
  }

  /** Take the sandbox and all its containers away, whatever their state is. Without one nothing happens. */
  async endSandbox(): Promise<void> {
    const sandbox = this.#sandbox;
    if (sandbox === undefined) return;
    await Promise.all([...this.tasks.keys()].map((id) => this.destroy(id)));
    await this.removeSandbox(sandbox);
    this.host.clearUndo(this.identity.bundle);
    sandbox.stop();
    sandbox.dropNote();
    this.#sandbox = undefined;
  }

  /** No container and no sandbox needs the monitor. */
  get isEmpty(): boolean {
    return this.#sandbox === undefined && [...this.tasks.values()].every((task) => task.isDeleted);
  }

  /** The same, once a restarted task server knows its container again. */
  async readyTask(id: string): Promise<Task> {
    const task = this.task(id);
    await task.ready();
    return task;
  }

  /** Nothing is left to tell containerd, nor to be found out. */
  get isQuiet(): boolean {
    return this.#outbox.isEmpty && this.#abandoned === undefined;
  }

  /** Create a container; `by` names the request, whose replay gives the same answer. */
  async create(request: CreateRequest, by: string): Promise<number> {
    const known = this.tasks.get(request.id);
    if (known?.isDeleted) this.#forget(known);
    const present = this.tasks.get(request.id);
    if (present && present.record.addedBy !== by)
      throw new StatusError(Code.AlreadyExists, `container ${request.id}: already exists`);
    const record = { request, state: { state: "creating" }, addedBy: by, oomKills: 0 } as const;
    const task = present ?? new Task(this.#environment.runtime, this.host, this.#events, record);
    this.tasks.set(request.id, task);
    try {
      if (this.#sandbox !== undefined) this.host.addMember(request.id, request.bundle);
      return await task.create();
    } catch (error) {
      this.#forget(task);
      throw error;
    }
  }

  /** Delete a container; it is forgotten once the answer is on its way. */
  async delete(id: string, by: string): Promise<{ readonly pid: number; readonly exit: ExitRecord }> {
    const task = this.tasks.get(id);
    if (!task) throw notFound();
    const ended = await task.delete(by);
    setImmediate(() => this.#forget(task));
    return ended;
  }

  /** For the `delete` command: end a container whatever its state is. */
  async destroy(id: string): Promise<{ readonly pid: number; readonly exit: ExitRecord } | undefined> {
    const task = this.tasks.get(id);
    if (!task) return undefined;
    const ended = await task.destroy("delete");
    this.#forget(task);
    return ended;
  }

  async resize(process: ContainerProcess, width: number, height: number): Promise<void> {
    if (process.resize) await process.resize(width, height);
    else await process.run(resizeProgram(width, height));
  }

  /** Shutdown was asked for: once it is answered the monitor ends, if need be by the next task server. */
  shutdownAfterAnswer(): void {
    this.#noteShutdown();
    setImmediate(() => void this.shutdown());
  }

  /**
   * The same, once the caller has hung up, within a limit: a ttrpc client of Go's that has the answer and the connection's end before it looks takes either, and containerd
   * fails RemovePodSandbox with "ttrpc: closed" then. (After a task's Shutdown it does not mind.)
   */
  shutdownAfterHangUp(conn: number): void {
    this.#noteShutdown();
    clearTimeout(this.#leaving?.timer);
    this.#leaving = { conn, timer: setTimeout(() => void this.shutdown(), HANG_UP_LIMIT_MS) };
  }

  #noteShutdown(): void {
    this.#notebook.note(SHUTDOWN_NOTE, () => Buffer.from("1"));
  }

  /** End the monitor, if no container needs it: events first, as far as they can be told within the limit, then the socket, then the process. */
  async shutdown(flushLimitMs = FLUSH_LIMIT_MS): Promise<void> {
    if (!this.isEmpty) return;
    await this.#outbox.flushed(flushLimitMs);
    if (!this.isEmpty) return;
    try {
      unlinkSync(this.identity.socket);
    } catch {
      // already gone is what was wanted
    }
    this.#link.exit();
  }

  /** The monitor is gone, or this task server goes. */
  close(): void {
    clearTimeout(this.#lonely);
    clearTimeout(this.#abandoned);
    clearTimeout(this.#leaving?.timer);
    this.#outbox.close();
    for (const { channel } of this.#connections.values()) channel.onClose();
    this.#connections.clear();
  }

  #forget(task: Task): void {
    if (this.tasks.get(task.id) !== task) return;
    this.tasks.delete(task.id);
    if (this.#sandbox !== undefined) this.host.removeMember(task.id, task.record.request.bundle);
    task.dropNotes();
  }

  #receive(conn: number, frame: Uint8Array, info: { replayed: boolean; oversized: boolean }): void {
    clearTimeout(this.#lonely);
    if (!info.replayed && this.#replaying) this.#replayed();
    clearTimeout(this.#abandoned);
    this.#abandoned = undefined;
    const connection = this.#connections.get(conn) ?? this.#connect(conn);
    const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
    if (info.replayed) connection.data.replayed.add(streamIdOf(bytes));
    connection.channel.receive(bytes, info.oversized);
  }

  /** The monitor repeats what was not answered before anything new, so a Delete that has not come again was answered. */
  #replayed(): void {
    this.#replaying = false;
    for (const task of [...this.tasks.values()]) {
      if (task.isDeleted) this.#forget(task);
      else task.dropDeletedExecs();
    }
  }

  #watched(key: string, slot: number, data: Uint8Array): void {
    this.host.dispatch.watch(key, slot, data);
    if (slot === SLOT.watch) void [...this.tasks.values()].find(({ init }) => init?.key === key)?.outOfMemory();
  }

  #connect(conn: number): { channel: MonitorChannel; data: Connection } {
    const channel = new MonitorChannel(this.#link, conn);
    const data: Connection = { pod: this, conn, replayed: new Set() };
    this.#environment.server.serve(channel, data);
    const connection = { channel, data };
    this.#connections.set(conn, connection);
    return connection;
  }

  #disconnected(conn: number): void {
    const connection = this.#connections.get(conn);
    this.#connections.delete(conn);
    connection?.channel.onClose();
    this.#lookForOwner();
    if (this.#leaving?.conn !== conn) return;
    clearTimeout(this.#leaving.timer);
    void this.shutdown();
  }

  /** A `delete` that no task server answered in time has taken the bundles, not the monitor. */
  #lookForOwner(): void {
    clearTimeout(this.#abandoned);
    this.#abandoned = undefined;
    if (this.#connections.size > 0 || this.#environment.isOwned === true) return;
    this.#abandoned = setTimeout(() => {
      this.#abandoned = undefined;
      if (this.#connections.size > 0 || this.#bundles().some((bundle) => existsSync(bundle))) return;
      this.#end().catch((error: unknown) => this.#log.error("a pod without owner stays", { error }));
    }, ABANDONED_LIMIT_MS).unref();
  }

  #bundles(): string[] {
    return [this.identity.bundle, ...[...this.tasks.values()].map(({ record }) => record.request.bundle)];
  }

  async #end(): Promise<void> {
    this.#log.warning("a pod without owner is ended", { path: this.identity.bundle });
    await Promise.all([...this.tasks.keys()].map((id) => this.destroy(id)));
    await this.endSandbox();
    await this.shutdown();
  }

  #keeper() {
    const { notes } = this.#notebook;
    return {
      notes,
      note: (key: string, value: Uint8Array | undefined) => this.#notebook.note(key, value && (() => value)),
      nowNs: () => this.host.nowNs(),
    };
  }

  #sandboxRequest({ wanted }: PodSandbox): SandboxRequest {
    const { namespace, bundle } = this.identity;
    return { ...wanted, namespace, bundle, options: this.options };
  }

  #follow(sandbox: PodSandbox, { ended }: RunningSandbox): void {
    void ended.then(() => sandbox.stop());
  }

  /** Rebuild everything from the monitor's notes. */
  #recover(): void {
    this.#sandbox = PodSandbox.recover(this.#keeper());
    const { sandboxes } = this.#environment.runtime;
    if (this.#sandbox?.state.state === "ready" && sandboxes !== undefined)
      this.#follow(this.#sandbox, sandboxes.recover(this.#sandboxRequest(this.#sandbox), this.host));
    const execs = new Map<string, ExecRecord[]>();
    const { notes } = this.#notebook;
    for (const [key, value] of notes) {
      const [kind, id = ""] = key.split("/");
      if (kind === "exec") execs.set(id, [...(execs.get(id) ?? []), decodeRecord<ExecRecord>(value)]);
    }
    for (const [key, value] of notes) {
      if (!key.startsWith("task/")) continue;
      const record = decodeRecord<TaskRecord>(value);
      const task = new Task(this.#environment.runtime, this.host, this.#events, record);
      this.tasks.set(task.id, task);
      task
        .recover(execs.get(task.id) ?? [], (process) => this.host.has(process))
        .catch((error: unknown) => this.#log.error("task not recovered", { id: task.id, error }));
    }
  }
}

function notFound(): StatusError {
  return new StatusError(Code.NotFound, "container not created: not found");
}
